"""Bad input gets one clear sentence as INVALID_ARGUMENT, and the next request is answered."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking

PHOTO_MODELS = ("photo_analysis", "face_detect")
BOXES, NO_LANDMARKS = asking.BOX[None], asking.NO_LANDMARKS[None]


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_address) as connected:
        yield connected


@pytest.fixture(autouse=True)
def still_answers(client: Any) -> Iterator[None]:
    """After every test, the server answers an ordinary request as ever."""
    yield
    portrait = asking.ASTRONAUT.read_bytes()
    assert len(asking.ask_about_photo(client, portrait, outputs=["boxes"])["boxes"]) == 1
    face = asking.ask_about_face(client, "face_analysis", portrait, box=asking.BOX)
    assert all(len(values) == 1 for values in face.values())


def huge_png() -> bytes:
    """A valid PNG of 30,000 x 30,000 black pixels in about a hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + 30_000 // 8)
    pixels = b"".join(packer.compress(row) for _ in range(30_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Files that are no photo, and a word of the sentence that each gets."""
    jpeg = asking.ASTRONAUT.read_bytes()
    png = asking.encode(asking.astronaut())
    return {
        "text": (b"this is not a picture at all", "not"),
        "nothing": (b"", "empty|0 bytes|no bytes"),
        "truncated JPEG": (jpeg[: len(jpeg) // 2], "cut short"),
        "truncated PNG": (png[: len(png) // 2], "cut short"),
        "JPEG without its end": (jpeg[:-2], "cut short"),
        "30,000 x 30,000": (huge_png(), "30,000|30000"),
    }


@pytest.mark.parametrize("name", sorted(bad_files()))
@pytest.mark.parametrize("model", [*PHOTO_MODELS, "face_analysis"])
def test_a_file_that_is_no_photo_is_refused_in_a_sentence(client: Any, model: str, name: str) -> None:
    data, word = bad_files()[name]
    inputs = {"image": np.frombuffer(data, np.uint8)}
    if model not in PHOTO_MODELS:
        inputs = {"image": inputs["image"][None], "box": BOXES, "landmarks": NO_LANDMARKS}
    with pytest.raises(InferenceServerException) as refused:
        asking.ask(client, model, **inputs)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT", refused.value.message()
    assert_is_a_sentence(refused.value.message(), word)


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ([0, 0, np.inf, np.inf], "not finite"),
        ([-np.inf, 0, 100, 100], "not finite"),
        ([np.nan, 0, 100, 100], "not finite"),
        ([600, 600, 700, 700], "outside"),
        ([-90, -90, -10, -10], "outside"),
        ([200, 200, 100, 100], "empty"),
        ([100, 100, 100, 200], "empty"),
        ([-1e9, -1e9, 1e9, 1e9], "larger"),
    ],
)
def test_a_box_that_can_t_be_is_refused_in_a_sentence(client: Any, box: list[float], word: str) -> None:
    with pytest.raises(InferenceServerException) as refused:
        asking.ask_about_face(
            client, "face_analysis", asking.ASTRONAUT.read_bytes(), box=np.array(box, dtype=np.float32)
        )
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert_is_a_sentence(refused.value.message(), word)


@pytest.mark.parametrize(
    "landmarks",
    [np.full((5, 2), np.inf), np.full((5, 2), 200.0), np.full((5, 2), 1e7)],
    ids=["infinite", "one point", "far away"],
)
def test_landmarks_that_can_t_be_are_refused_in_a_sentence(
    client: Any, landmarks: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        asking.ask_about_face(
            client, "face_analysis", asking.ASTRONAUT.read_bytes(), landmarks=landmarks.astype(np.float32)
        )
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert_is_a_sentence(refused.value.message(), "landmark|eyes")


def test_a_crop_without_pixels_is_refused_in_a_sentence(client: Any) -> None:
    with pytest.raises(InferenceServerException) as refused:
        asking.ask(client, "crop_analysis", crop=np.zeros((1, 0, 40, 3), np.uint8))
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert_is_a_sentence(refused.value.message(), "pixels")


def test_tensors_of_the_wrong_shape_are_refused(client: Any) -> None:
    image = np.frombuffer(asking.ASTRONAUT.read_bytes(), np.uint8)
    with pytest.raises(InferenceServerException, match="landmarks") as refused:
        asking.ask(
            client,
            "face_analysis",
            image=image[None],
            box=asking.NO_BOX[None],
            landmarks=np.zeros((1, 4, 2), np.float32),
        )
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_16_bit_png_is_answered(client: Any) -> None:
    deep = asking.encode(asking.astronaut().astype(np.uint16) * 257)
    answered = asking.ask_about_photo(client, deep)
    np.testing.assert_allclose(answered["boxes"], asking.BOX[None], atol=12)


def test_a_cmyk_jpeg_is_answered_as_the_same_picture_in_rgb(client: Any) -> None:
    pictures = {}
    for mode in ("RGB", "CMYK"):
        file = io.BytesIO()
        PIL.Image.fromarray(asking.astronaut()).convert(mode).save(file, "JPEG", quality=95)
        pictures[mode] = asking.ask_about_photo(client, file.getvalue())
    np.testing.assert_allclose(pictures["CMYK"]["boxes"], pictures["RGB"]["boxes"], atol=2)


def test_of_several_faces_in_one_request_the_bad_one_is_named(client: Any) -> None:
    image = np.frombuffer(asking.ASTRONAUT.read_bytes(), np.uint8)
    boxes = np.stack([asking.BOX, np.full(4, np.inf, np.float32)])
    with pytest.raises(InferenceServerException, match=r"row 1 \(of 0 to 1\): .* not finite"):
        asking.ask(
            client,
            "face_analysis",
            image=np.stack([image, image]),
            box=boxes,
            landmarks=np.stack([asking.NO_LANDMARKS] * 2),
        )


def assert_is_a_sentence(message: str, words: str) -> None:
    """The message says what is wrong in one line, without the insides of the server."""
    assert re.search(words, message), message
    assert "\n" not in message
    assert "Traceback" not in message
    assert ".py" not in message, message
