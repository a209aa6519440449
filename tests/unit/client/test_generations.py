"""This client with servers that state errors and quality, and with those from before; and what an older
client requests of newer ones."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qface_client import Analysis, AsyncFaceClient, FaceClient, InvalidInput
from qface_client.contract import parse_contract
from qface_client.recorded import Replayed
from tests.helpers.fake_v2_server import FakeServer, first_generation, running, second_generation
from tests.helpers.paths import ASSETS

PHOTO = np.zeros((80, 100, 3), np.uint8)
ERRORS = ("years_error", "turn_error", "spots_error")
# What a client asks of a photo that knows neither errors nor quality.
FIRST_OUTPUTS = {
    "mood_probabilities", "mood_label", "years_value", "turn_angles", "spots_points",
    "rated_probabilities", "rated_active", "boxes", "scores", "landmarks", "photo_size",
    "faces_found", "smallest_face", "contract",
}  # fmt: skip


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(second_generation(), faces=2)


@pytest.fixture
def client(fake: FakeServer) -> Iterator[FaceClient]:
    with running(fake) as url, FaceClient(url, timeout=10) as client:
        yield client


def test_answers_of_a_newer_server_have_errors_and_quality(fake: FakeServer, client: FaceClient) -> None:
    fake.faces_below_quality = 1
    analysis = client.analyze(PHOTO)
    face = analysis[1]
    assert set(fake.asked) == FIRST_OUTPUTS | {*ERRORS, "faces_below_quality"}
    assert (face.years.error, face.years.interval(0.8)) == (1.0, pytest.approx((29.65, 32.85)))
    assert face.turn.errors == {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}
    assert face.spots.errors.tolist() == [1.0, 2.0]
    assert face.quality == 1.0
    assert analysis.faces_below_quality == 1


def test_answers_of_an_older_server_have_none_and_are_what_they_were(
    fake: FakeServer, client: FaceClient
) -> None:
    newer = client.analyze(PHOTO).to_dict()
    fake.contract = first_generation()
    analysis = client.analyze(PHOTO)
    assert set(fake.asked) == FIRST_OUTPUTS
    face = analysis[0]
    assert (face.years.error, face.turn.errors, face.spots.errors, face.quality) == (None,) * 4
    assert analysis.faces_below_quality is None
    del newer["faces_below_quality"]
    for data in newer["faces"]:
        for key in (*ERRORS, "quality"):
            del data[key]
    assert analysis.to_dict() == newer


def test_an_older_client_of_a_newer_server_gets_what_it_always_got(fake: FakeServer) -> None:
    """It ignores the contract's new keys, and requests neither errors nor the count."""
    keys = {"name", "kind", "labels", "unit"}
    known: dict[str, Any] = {key: fake.contract[key] for key in ("version", "input_size", "hash")}
    known["tasks"] = [{key: task[key] for key in keys} for task in fake.contract["tasks"]]
    read = [task.outputs for task in parse_contract(json.dumps(known)).tasks]
    fake.config = known
    fake.request_parameters = ""
    with running(fake) as url, FaceClient(url, timeout=10) as client:
        face = client.analyze(PHOTO)[0]
    assert set(fake.asked) == FIRST_OUTPUTS
    assert {output for outputs in read for output in outputs} < FIRST_OUTPUTS
    assert face.years.years == 31.25


@pytest.fixture(params=["analyze", "analyze_many", "asyncio"])
def call(request: pytest.FixtureRequest, client: FaceClient) -> Callable[..., Analysis]:
    async def analyze(**options: Any) -> Analysis:
        async with AsyncFaceClient(client._url, timeout=10) as twin:
            return await twin.analyze(PHOTO, **options)

    def of_many(**options: Any) -> Analysis:
        (result,) = client.analyze_many([PHOTO], **options)
        if result.analysis is None:
            raise result.error or AssertionError
        return result.analysis

    return {
        "analyze": lambda **options: client.analyze(PHOTO, **options),
        "analyze_many": of_many,
        "asyncio": lambda **options: asyncio.run(analyze(**options)),
    }[request.param]


def test_min_quality_goes_with_the_request(fake: FakeServer, call: Callable[..., Analysis]) -> None:
    call(min_quality=0)
    assert fake.parameters == {"min_quality": 0.0}
    call(min_quality=0.75, min_score=0.5)
    assert fake.parameters == {"min_quality": 0.75, "min_score": 0.5}
    call()
    assert fake.parameters == {}


def test_min_quality_that_is_no_number_or_not_taken_is_refused(
    fake: FakeServer, call: Callable[..., Analysis]
) -> None:
    with pytest.raises(InvalidInput, match="min_quality is a number, not 'good'"):
        call(min_quality="good")
    fake.contract = first_generation()
    with pytest.raises(InvalidInput, match="not take min_quality: it takes min_score, max_faces, min_face"):
        call(min_quality=0.5)


def test_both_clients_take_it_where_photos_are_searched_and_judged() -> None:
    for kind in (FaceClient, AsyncFaceClient):
        taking = {
            name
            for name, method in inspect.getmembers(kind, callable)
            if not name.startswith("_") and "min_quality" in inspect.signature(method).parameters
        }
        assert taking == {"analyze", "analyze_many"}


def test_crops_and_faces_have_errors_too(fake: FakeServer, client: FaceClient) -> None:
    for face in (*client.analyze_crops([PHOTO, PHOTO, PHOTO]), client.analyze_face(PHOTO, tasks=["years"])):
        assert face.years.error == 1.0
    assert client.analyze_crop(PHOTO).quality == 1.0
    assert client.analyze_crop(PHOTO, tasks=["years"]).quality is None


def test_a_recording_has_errors_and_quality(fake: FakeServer, tmp_path: Path) -> None:
    fake.faces_below_quality = 3
    path = tmp_path / "answers.jsonl"
    with running(fake) as url, FaceClient(url, record=path) as client:
        live = client.analyze(PHOTO, min_quality=0.5).to_dict()
        contract = client.contract()
    with FaceClient(transport=Replayed(path)) as client:
        assert client.analyze(PHOTO, min_quality=0.5).to_dict() == live
        assert client.contract() == contract
        fewer = client.analyze(PHOTO, ["years"], min_quality=0.5)
    assert live["faces"][0]["years_error"] == fewer.to_dict()["faces"][0]["years_error"] == {"years": 1.0}
    assert live["faces_below_quality"] == 3


def test_what_an_older_client_recorded_of_a_newer_server_is_replayed() -> None:
    """The file was written by the client of before, which kept nothing of the contract's new keys."""
    with FaceClient(transport=Replayed(ASSETS / "recordings/before_errors.jsonl")) as client:
        face = client.analyze(PHOTO)[1]
        crop = client.analyze_crop(PHOTO)
    assert (face.years.years, face.years.error, face.quality) == (31.25, None, None)
    assert list(crop.answers) == list(face.answers) == ["mood", "years", "turn", "spots", "rated"]
