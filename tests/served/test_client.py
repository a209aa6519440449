"""Our client and the real server: every call, every kind of photo, every bad input."""

import asyncio
import concurrent.futures
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.gateway.operation.service import GatewayServer
from qface_client import (
    Analysis,
    AsyncFaceClient,
    Face,
    FaceClient,
    InvalidInput,
    NotServed,
    UnknownTask,
    cli,
)
from qface_client._connection import error_of
from tests.helpers.encoded_pictures import STORED_AS
from tests.helpers.paths import ASTRONAUT

PORTRAIT = ASTRONAUT
PICTURE = Image.open(PORTRAIT).convert("RGB")
PIXELS = np.asarray(PICTURE)


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[FaceClient]:
    with FaceClient(server.grpc_address) as client:
        yield client


@pytest.fixture(scope="module")
def portrait(client: FaceClient) -> Face:
    analysis = client.analyze(PORTRAIT)
    assert len(analysis) == 1
    return analysis[0]


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    """The picture's bytes in a file format."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def numbers(face: Face) -> np.ndarray[Any, Any]:
    """All of a face's answers in one row."""

    def leaves(data: Any) -> Iterator[float]:
        if isinstance(data, dict):
            for value in data.values():
                yield from leaves(value)
        elif isinstance(data, float):
            yield data

    return np.array(list(leaves({task: answer.to_json() for task, answer in face.answers.items()})))


def test_a_photo_is_answered_with_every_task_that_the_server_has(client: FaceClient, portrait: Face) -> None:
    contract = client.contract()
    assert tuple(portrait.answers) == contract.names
    x0, y0, x1, y1 = portrait.box
    assert 150 < x0 < 200 < 260 < x1 < 310  # the astronaut's face lies around (225, 120)
    assert 40 < y0 < 100 < 160 < y1 < 220
    assert 0.5 < portrait.score <= 1
    assert portrait.landmarks5 is not None
    right_eye, left_eye = portrait.landmarks5[:2]
    assert right_eye[0] < left_eye[0]


def test_the_server_states_in_which_precision_it_computes(client: FaceClient) -> None:
    assert client.precision() == "fp32"  # as `make test` assembles it, whatever the processor has


def test_path_bytes_and_array_give_the_same_answer(client: FaceClient, portrait: Face) -> None:
    for photo in (str(PORTRAIT), PORTRAIT.read_bytes(), PIXELS):
        np.testing.assert_allclose(numbers(client.analyze(photo)[0]), numbers(portrait), atol=0.06)
    png = client.analyze(encoded(PICTURE, "PNG"))[0]
    assert np.array_equal(numbers(png), numbers(client.analyze(PIXELS)[0]))


def test_wanted_tasks_alone_are_answered_as_all_together(client: FaceClient, portrait: Face) -> None:
    for task, answer in portrait.answers.items():
        alone = client.analyze(PORTRAIT, tasks=[task])[0]
        assert list(alone.answers) == [task]
        assert alone[task].to_json() == answer.to_json()
    assert client.analyze(PORTRAIT, tasks=[])[0].answers == {}


def test_each_tasks_own_ensemble_answers_as_all_together(client: FaceClient, portrait: Face) -> None:
    known = {"box": portrait.box, "landmarks": portrait.landmarks5}
    together = client.analyze_face(PORTRAIT, **known)
    np.testing.assert_allclose(numbers(together), numbers(portrait), atol=2e-4)
    for task, answer in together.answers.items():
        alone = client.analyze_face(PORTRAIT, tasks=[task], **known)
        assert list(alone.answers) == [task]
        assert alone[task].to_json() == answer.to_json()


def test_a_box_in_the_photo_and_the_photo_cut_to_nothing_else_differ(
    client: FaceClient, portrait: Face
) -> None:
    by_box = client.analyze_face(PORTRAIT, box=portrait.box)
    whole = client.analyze_face(PORTRAIT)
    assert whole.box == (0.0, 0.0, 512.0, 512.0)
    assert not np.allclose(numbers(by_box), numbers(whole), atol=1e-3)


def test_crops_of_one_request_are_answered_as_one_by_one(client: FaceClient) -> None:
    crops = [np.ascontiguousarray(PIXELS[60 + i : 188 + i, 160:288]) for i in range(0, 40, 8)]
    together = client.analyze_crops(crops)
    for crop, face in zip(crops, together, strict=True):
        np.testing.assert_allclose(numbers(client.analyze_crop(crop)), numbers(face), atol=2e-4)
    assert together[0].box == (0.0, 0.0, 128.0, 128.0)


def test_more_crops_than_the_servers_largest_batch_are_all_answered(client: FaceClient) -> None:
    crops = [np.full((64, 64, 3), i, np.uint8) for i in range(40)]
    faces = client.analyze_crops(crops, tasks=client.contract().names[:1])
    assert len(faces) == 40
    np.testing.assert_allclose(
        numbers(faces[39]),
        numbers(client.analyze_crop(crops[39], tasks=client.contract().names[:1])),
        atol=2e-4,
    )


def test_an_encoded_crop_is_answered_without_detection(client: FaceClient) -> None:
    crop = PICTURE.crop((160, 60, 288, 188))
    from_file = client.analyze_crop(encoded(crop, "PNG"))
    np.testing.assert_allclose(numbers(from_file), numbers(client.analyze_crop(np.asarray(crop))), atol=2e-2)


def test_detection_alone_finds_the_same_faces(client: FaceClient, portrait: Face) -> None:
    found = client.detect(PORTRAIT)
    assert (found.width, found.height) == (512, 512)
    assert found[0].box == portrait.box
    assert found[0].score == portrait.score
    assert found[0].answers == {}


def test_a_photo_without_a_face_gives_none(client: FaceClient) -> None:
    analysis = client.analyze(np.full((300, 400, 3), 127, np.uint8))
    assert isinstance(analysis, Analysis)
    assert (len(analysis), analysis.width, analysis.height) == (0, 400, 300)
    assert len(client.detect(np.full((300, 400, 3), 127, np.uint8))) == 0


def test_more_faces_than_one_batch_are_all_answered(client: FaceClient, portrait: Face) -> None:
    crowd = Image.new("RGB", (6 * 256, 6 * 256))
    head = PICTURE.crop((100, 0, 356, 256))
    for i in range(36):
        crowd.paste(head, (i % 6 * 256, i // 6 * 256))
    analysis = client.analyze(np.asarray(crowd), tasks=client.contract().names[:2])
    assert len(analysis) == 36
    assert all(set(face.answers) == set(client.contract().names[:2]) for face in analysis)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_exif_rotation_is_honoured(client: FaceClient, portrait: Face, orientation: int) -> None:
    stored = PICTURE.crop((0, 0, 512, 400))
    if orientation in STORED_AS:
        stored = stored.transpose(STORED_AS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "JPEG", quality=95, exif=exif)
    analysis = client.analyze(data)
    assert (analysis.width, analysis.height) == (512, 400)
    np.testing.assert_allclose(analysis[0].box, portrait.box, atol=6)
    assert client.analyze_face(data).box == (0.0, 0.0, 512.0, 400.0)


def sixteen_bit() -> bytes:
    """The portrait as a PNG of 16 bits a channel."""
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in PIXELS)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 512, 512, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: sixteen_bit(), id="16-bit PNG"),
        pytest.param(lambda: encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), id="CMYK JPEG"),
        pytest.param(lambda: encoded(PICTURE.convert("RGBA"), "PNG"), id="PNG with alpha"),
        pytest.param(lambda: encoded(PICTURE, "WEBP", quality=95), id="WebP"),
        pytest.param(
            lambda: encoded(PICTURE.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), id="palette PNG"
        ),
    ],
)
def test_unusual_pictures_get_the_right_answer(client: FaceClient, portrait: Face, data: Any) -> None:
    np.testing.assert_allclose(client.analyze(data())[0].box, portrait.box, atol=4)


def test_a_grey_picture_is_answered(client: FaceClient, portrait: Face) -> None:
    np.testing.assert_allclose(
        client.analyze(encoded(PICTURE.convert("L"), "PNG"))[0].box, portrait.box, atol=6
    )


def vast() -> bytes:
    """A PNG of few bytes that says it has 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((30_000 // 8 + 1) * 30_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD_PHOTOS = {
    "not a picture": lambda: b"Dear Sir or Madam, enclosed you will find no picture at all.",
    "truncated JPEG": lambda: PORTRAIT.read_bytes()[:40_000],
    "30,000 x 30,000 PNG": vast,
    "one byte": lambda: b"\xff",
}


@pytest.mark.parametrize("bad", BAD_PHOTOS.values(), ids=BAD_PHOTOS)
@pytest.mark.parametrize("call", ["analyze", "detect", "analyze_face"])
def test_a_bad_photo_gets_its_sentence_and_the_next_is_answered(
    client: FaceClient, portrait: Face, bad: Any, call: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        getattr(client, call)(bad())
    sentence = str(caught.value)
    assert 20 < len(sentence) < 400
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert "ensemble" not in sentence
    assert client.analyze(PORTRAIT)[0].to_json() == portrait.to_json()


@pytest.mark.parametrize(
    "known",
    [
        {"box": (600, 600, 700, 700)},
        {"box": (0, 0, float("inf"), 100)},
        {"box": (100, 100, 50, 50)},
        {"landmarks": [[5, 5]] * 5},
        {"landmarks": [[float("inf"), 5]] * 5},
    ],
    ids=["outside", "infinite", "inside out", "one point", "infinite points"],
)
def test_a_bad_place_gets_its_sentence_and_the_next_is_answered(
    client: FaceClient, portrait: Face, known: Any
) -> None:
    with pytest.raises(InvalidInput, match=r"\bbox\b|landmark"):
        client.analyze_face(PORTRAIT, **known)
    again = client.analyze_face(PORTRAIT, box=portrait.box)
    assert set(again.answers) == set(portrait.answers)


def test_an_unknown_task_is_told_with_those_that_there_are(client: FaceClient) -> None:
    for ask in (client.analyze, client.analyze_face, client.analyze_crop):
        with pytest.raises(UnknownTask, match="unknown task aura: this server has ") as caught:
            ask(PIXELS, tasks=["aura"])
        assert caught.value.available == client.contract().names


def test_one_bad_request_among_many_at_once_spoils_no_other(client: FaceClient, portrait: Face) -> None:
    def ask(number: int) -> Any:
        if number % 4 == 3:
            with pytest.raises(InvalidInput):
                client.analyze_face(PORTRAIT, box=(600, 600, 700, 700))
            return None
        return client.analyze_face(PORTRAIT, box=portrait.box if number % 2 else None)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        faces = list(pool.map(ask, range(32)))
    by_box, whole = client.analyze_face(PORTRAIT, box=portrait.box), client.analyze_face(PORTRAIT)
    for number, face in enumerate(faces):
        if face is not None:
            np.testing.assert_allclose(numbers(face), numbers(by_box if number % 2 else whole), atol=2e-4)


def test_the_asyncio_twin_gives_the_same_answers(server: GatewayServer, portrait: Face) -> None:
    async def talk() -> None:
        async with AsyncFaceClient(server.grpc_address) as client:
            analyses = await asyncio.gather(*(client.analyze(PORTRAIT) for _ in range(6)))
            for analysis in analyses:
                np.testing.assert_allclose(numbers(analysis[0]), numbers(portrait), atol=2e-4)
            with pytest.raises(InvalidInput):
                await client.analyze(b"no picture")
            assert len(await client.detect(PORTRAIT)) == 1

    asyncio.run(talk())


def test_the_command_line_answers_draws_and_reports(
    server: GatewayServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter, blank = tmp_path / "letter.jpg", tmp_path / "blank.png"
    letter.write_text("Dear Sir or Madam")
    Image.new("RGB", (200, 100)).save(blank)
    photos = [str(PORTRAIT), str(letter), str(blank)]
    drawn = tmp_path / "drawn"
    assert cli.main(["analyze", *photos, "--json", "--draw", str(drawn), "--url", server.grpc_address]) == 2
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [(line["file"], line["faces_found"]) for line in lines] == [(photos[0], 1), (photos[2], 0)]
    assert set(lines[0]["faces"][0]) >= {"box", "score"}
    errors = [line for line in printed.err.splitlines() if line.startswith("qface:")]
    assert len(errors) == 1
    assert str(letter) in errors[0]
    assert sorted(path.name for path in drawn.iterdir()) == ["astronaut.jpg", "blank.png"]
    with Image.open(drawn / "astronaut.jpg") as picture:
        assert min(picture.size) >= 512


def test_the_table_names_every_task(server: GatewayServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["analyze", str(PORTRAIT), "--url", server.grpc_address]) == 0
    table = capsys.readouterr().out
    with FaceClient(server.grpc_address) as client:
        for task in client.contract().names:
            assert task.replace("_", " ") in table


def test_the_servers_words_that_the_client_reads_are_these(server: GatewayServer) -> None:
    image = {"name": "image", "datatype": "UINT8", "shape": [3]}
    with grpc.insecure_channel(server.grpc_address) as channel:
        infer = v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        for model, words in (("photo_analysis", "inference output"), ("nowhere", "unknown model")):
            asked = v2.ModelInferRequest(
                model_name=model,
                inputs=[image],
                outputs=[{"name": "aura_label"}],
                raw_input_contents=[b"000"],
            )
            with pytest.raises(grpc.RpcError, match=words) as caught:
                infer(asked, timeout=10)
            kind = InvalidInput if model == "photo_analysis" else NotServed
            assert type(error_of(caught.value, url=server.grpc_address, model=model)) is kind
