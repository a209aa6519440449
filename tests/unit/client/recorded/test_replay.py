"""What a server answered is answered again from a file, without it."""

import asyncio
import base64
import concurrent.futures
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from qface_client import AsyncFaceClient, FaceClient, InvalidInput, NotRecorded, ServerBusy, UnknownTask
from qface_client.recorded import Replayed
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, refuse, running

PHOTO = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
LABELS = [f"label {number}" for number in range(3)]
TASKS = [
    classes("mood", ["glad", "sad"]),
    {"name": "marks", "kind": "multilabel", "labels": LABELS, "unit": "probability", "threshold": 0.5},
    {"name": "years", "kind": "value", "labels": ["years"], "unit": "years"},
    {"name": "turn", "kind": "rotation", "labels": ["yaw", "pitch", "roll"], "unit": "degrees"},
    {"name": "spots", "kind": "points", "labels": LABELS, "unit": "pixels"},
    {
        "name": "seen",
        "kind": "multilabel",
        "labels": LABELS,
        "unit": "probability",
        "threshold": 0.5,
        "visible_points": {"task": "spots", "indices": [0, None, 2]},
    },
    {"name": "parts", "kind": "mask", "labels": LABELS, "unit": "class"},
]


@pytest.fixture
def fake() -> FakeServer:
    served = FakeServer(contract_of(*TASKS), faces=2)
    served.notice, served.networks, served.precision = "They are informed.", {"first": ""}, "bf16"
    return served


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    with running(fake) as address:
        yield address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def outcome(call: Callable[[FaceClient], Any], client: FaceClient) -> Any:
    try:
        return call(client)
    except Exception as error:
        return type(error), str(error)


def noisy(number: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 3), number, np.uint8)


CALLS: list[Callable[[FaceClient], Any]] = [
    lambda client: client.contract(),
    lambda client: client.models(),
    lambda client: client.notice(),
    lambda client: client.precision(model="first"),
    lambda client: client.analyze(PHOTO).to_json(),
    lambda client: client.analyze(PHOTO, tasks=["mood"], min_score=0.7, max_faces=3).to_json(),
    lambda client: client.analyze(PHOTO)[0]["parts"].ids.tolist(),
    lambda client: client.detect(PHOTO)[0].box,
    lambda client: client.analyze_face(PHOTO, box=(1, 2, 3, 4), tasks="years").to_json(),
    lambda client: [face.to_json() for face in client.analyze_crops([PHOTO, PHOTO, PHOTO])],
    lambda client: client.analyze(PHOTO, tasks=["nothing"]),
    lambda client: client.analyze(PHOTO, model="second"),
]


def test_every_call_is_answered_again_without_a_server(fake: FakeServer, path: Path) -> None:
    with running(fake) as url, FaceClient(url, record=path) as client:
        live = [outcome(call, client) for call in CALLS]
    with FaceClient(transport=Replayed(path)) as client:
        assert [outcome(call, client) for call in CALLS] == live


async def analyzed(client: AsyncFaceClient, photos: list[NDArray[np.uint8]]) -> list[Any]:
    async with client:
        answers = await asyncio.gather(*(client.analyze(photo) for photo in photos))
    return [answer.to_json() for answer in answers]


def test_the_asyncio_client_records_and_replays(url: str, path: Path) -> None:
    photos = [noisy(number) for number in range(12)]

    async def recorded() -> list[Any]:
        return await analyzed(AsyncFaceClient(url, record=path), photos)

    async def replayed() -> list[Any]:
        return await analyzed(AsyncFaceClient(transport=Replayed(path)), photos)

    assert asyncio.run(recorded()) == asyncio.run(replayed())


def test_calls_of_many_threads_are_recorded_whole(url: str, path: Path) -> None:
    photos = [noisy(number) for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        with FaceClient(url, record=path) as client:
            list(threads.map(client.analyze, photos))
        with FaceClient(transport=Replayed(path)) as client:
            assert [len(found) for found in threads.map(client.analyze, photos)] == [2] * len(photos)


def test_neither_picture_nor_key_is_in_the_file(url: str, path: Path) -> None:
    needle = b"a face, pixel by pixel" * 3
    pixels = np.frombuffer(needle[:48], np.uint8).reshape(4, 4, 3)
    with FaceClient(url, record=path, api_key="correct-horse") as client:
        client.analyze(pixels)
        client.analyze_crops([pixels])
        client.analyze(b"\xff\xd8" + needle)
    text = path.read_bytes()
    for secret in (needle[:12], base64.b64encode(needle)[:12], b"correct-horse", needle[:12].hex().encode()):
        assert secret not in text


def test_two_recordings_of_the_same_calls_are_the_same_text(url: str, tmp_path: Path) -> None:
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path in paths:
        with FaceClient(url, record=path) as client:
            client.analyze(PHOTO)
    assert paths[0].read_text() == paths[1].read_text()
    header, *lines = map(json.loads, paths[0].read_text().splitlines())
    assert header == {"format": "qface-recording", "version": 1}
    assert [(line["call"], line["model"]) for line in lines] == [
        ("model", "photo_analysis"),
        ("infer", "photo_analysis"),
    ]


def test_answers_to_the_same_request_come_in_their_order_and_the_last_one_stays(
    fake: FakeServer, url: str, path: Path
) -> None:
    with FaceClient(url, record=path) as client:
        for faces in (1, 3, 2):
            fake.faces = faces
            client.analyze(PHOTO)
    with FaceClient(transport=Replayed(path)) as client:
        assert [len(client.analyze(PHOTO)) for _ in range(5)] == [1, 3, 2, 2, 2]


def test_an_answer_is_of_any_priority_and_a_refusal_of_its_own(
    fake: FakeServer, url: str, path: Path
) -> None:
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
        fake.before_infer = refuse(99, grpc.StatusCode.INVALID_ARGUMENT, "no such priority, nor score")
        for refused in ({"priority": 7}, {"min_score": float("nan")}):
            with pytest.raises(InvalidInput):
                client.analyze(PHOTO, **refused)
    with FaceClient(transport=Replayed(path)) as client:
        assert len(client.analyze(PHOTO, priority=1)) == 2
        for refused in ({"priority": 7}, {"min_score": float("nan")}):
            with pytest.raises(InvalidInput, match="no such priority"):
                client.analyze(PHOTO, **refused)
        assert len(client.analyze(PHOTO)) == 2


def test_a_request_for_fewer_tasks_than_were_recorded_is_answered(url: str, path: Path) -> None:
    with FaceClient(url, record=path) as client:
        whole = client.analyze(PHOTO)
    with FaceClient(transport=Replayed(path)) as client:
        (one, _) = client.analyze(PHOTO, tasks=["years"])
        assert list(one.answers) == ["years"]
        assert one.years.years == whole[0].years.years
        with pytest.raises(UnknownTask, match="this server has mood"):
            client.analyze(PHOTO, tasks=["nothing"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda client: client.analyze(noisy(9)), r"sha256 [0-9a-f]{12}; it has answers to 1 others"),
        (lambda client: client.analyze(PHOTO, min_score=0.5), r'parameters {"min_score": 0.5}, only with {}'),
        (lambda client: client.analyze(PHOTO, tasks=["mood", "years"]), "for mood, years .* only for mood: "),
        (lambda client: client.detect(PHOTO), "nothing of the model 'face_detect': record it again"),
    ],
)
def test_what_was_not_recorded_is_named(
    url: str, path: Path, call: Callable[[FaceClient], Any], words: str
) -> None:
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO, tasks=["mood"])
    with FaceClient(transport=Replayed(path)) as client, pytest.raises(NotRecorded, match=words):
        call(client)


def test_a_refusal_of_the_moment_is_not_recorded_and_one_for_good_is(
    fake: FakeServer, url: str, path: Path
) -> None:
    fake.before_infer = refuse(1, grpc.StatusCode.RESOURCE_EXHAUSTED, "too much to do")
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
        fake.before_infer = refuse(99, grpc.StatusCode.INVALID_ARGUMENT, "this is no picture")
        with pytest.raises(InvalidInput):
            client.analyze(noisy(1))
        fake.before_infer = refuse(99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too much to do")
    with FaceClient(url, record=path.with_name("none.jsonl"), retries=False) as client:
        client.contract()
        with pytest.raises(ServerBusy):
            client.analyze(PHOTO)
    with FaceClient(transport=Replayed(path)) as client:
        assert len(client.analyze(PHOTO)) == 2
        with pytest.raises(InvalidInput, match=r"^this is no picture$"):
            client.analyze(noisy(1))


def test_a_model_has_the_outputs_that_were_requested_of_it(fake: FakeServer, path: Path) -> None:
    fake.search_outputs = ("faces_found", "smallest_face")
    with running(fake) as url, FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
    # As recorded by a client that did not know the second output yet.
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("call") == "infer":
            line["outputs"].remove("smallest_face")
            del line["answer"]["tensors"]["smallest_face"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with FaceClient(transport=Replayed(path)) as client:
        analysis = client.analyze(PHOTO)
    assert (analysis.faces_found, analysis.smallest_face) == (2, None)


def test_what_is_missing_is_kept_for_who_catches_every_error(url: str, path: Path) -> None:
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
    replayed = Replayed(path)
    with FaceClient(transport=replayed) as client:
        client.analyze(PHOTO)
        assert replayed.missing == []
        with pytest.raises(NotRecorded) as raised:
            client.analyze(PHOTO[:4])
    assert replayed.missing == [str(raised.value)]
