"""What a caller asks of the search for faces: how it is sent, and what older servers get."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from qface_client import FaceClient, InvalidInput
from qface_client._exchange import server_models
from qface_client.results import Analysis
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running

PHOTO = np.zeros((8, 8, 3), np.uint8)
CALLS = ("analyze", "detect")


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def client(fake: FakeServer) -> Iterator[FaceClient]:
    with running(fake) as url, FaceClient(url, timeout=10) as connected:
        yield connected


@pytest.fixture(params=CALLS)
def call(client: FaceClient, request: pytest.FixtureRequest) -> Callable[..., Analysis]:
    method: Callable[..., Analysis] = getattr(client, request.param)
    return method


def test_a_search_is_sent_in_the_types_that_the_server_reads(
    fake: FakeServer, call: Callable[..., Analysis]
) -> None:
    call(PHOTO, min_score=np.float32(0.5), max_faces=np.int64(9), min_face=1)
    assert fake.parameters == {"min_score": 0.5, "max_faces": 9, "min_face": 1.0}
    assert [type(fake.parameters[name]) for name in sorted(fake.parameters)] == [int, float, float]
    call(PHOTO)
    assert fake.parameters == {}


def test_how_the_photo_was_searched_is_answered(fake: FakeServer, call: Callable[..., Analysis]) -> None:
    fake.faces_found = 640
    analysis = call(PHOTO)
    assert (len(analysis), analysis.faces_found, analysis.smallest_face) == (1, 640, 21.875)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"min_score": "0.5"}, "min_score is a number"),
        ({"min_score": True}, "min_score is a number"),
        ({"min_face": [0.1]}, "min_face is a number"),
        ({"min_face": 10**400}, "min_face is a number"),
        ({"max_faces": 3.0}, "max_faces is a whole number"),
        ({"max_faces": 0}, "max_faces is 1 or more"),
        ({"max_faces": 1 << 63}, "max_faces is 1 or more"),
    ],
)
def test_what_is_no_number_is_not_sent(
    fake: FakeServer, call: Callable[..., Analysis], search: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        call(PHOTO, **search)
    assert fake.infers == 0


def test_a_server_from_before_searches_is_still_read_and_its_ignorance_is_said(
    fake: FakeServer, call: Callable[..., Analysis]
) -> None:
    fake.search_outputs, fake.request_parameters = (), ""
    analysis = call(PHOTO)
    assert (analysis.faces_found, analysis.smallest_face) == (1, None)
    with pytest.raises(InvalidInput, match="does not take min_score: update the server"):
        call(PHOTO, min_score=0.9)
    assert fake.infers == 1


def test_a_swap_to_and_from_such_a_server_is_followed(
    fake: FakeServer, call: Callable[..., Analysis]
) -> None:
    outputs, parameters = fake.search_outputs, fake.request_parameters
    assert call(PHOTO).smallest_face == 21.875
    fake.search_outputs, fake.request_parameters = (), ""
    assert call(PHOTO).smallest_face is None
    fake.search_outputs, fake.request_parameters = outputs, parameters
    assert call(PHOTO, max_faces=5).smallest_face == 21.875


def test_a_swap_to_a_server_with_more_outputs_is_noticed_after_a_while(
    fake: FakeServer, call: Callable[..., Analysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, fake.search_outputs = fake.search_outputs, ()
    call(PHOTO)
    reads = fake.reads
    fake.search_outputs = outputs
    assert call(PHOTO).smallest_face is None
    assert fake.reads == reads, "a server is not read before each request"
    monkeypatch.setattr(server_models, "LOOK_SECONDS", 0.0)
    assert call(PHOTO).smallest_face == 21.875
    call(PHOTO)
    assert fake.reads == reads + 1


def test_a_swap_to_a_server_that_ignores_parameters_is_no_answer_without_them(
    fake: FakeServer, call: Callable[..., Analysis]
) -> None:
    call(PHOTO, max_faces=5)
    fake.search_outputs, fake.request_parameters = (), ""
    with pytest.raises(InvalidInput, match="does not take max_faces"):
        call(PHOTO, max_faces=5)
