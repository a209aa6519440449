"""A deadline of one call: it goes before the client's, bounds the whole call, and reaches the server."""

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from qface_client import AsyncFaceClient, ConnectError, FaceClient, RequestTimeout, ServerBusy, Timeout
from tests.helpers.client_calls import InLoop
from tests.helpers.fake_v2_server import FakeServer, late, refuse

PHOTO = np.zeros((80, 100, 3), np.uint8)
PNG = io.BytesIO()
Image.fromarray(PHOTO).save(PNG, format="PNG")
Call = Callable[..., Any]

CALLS: dict[str, Call] = {
    "analyze": lambda client, **options: client.analyze(PHOTO, **options),
    "analyze_many": lambda client, **options: [
        result.faces for result in client.analyze_many([PHOTO, PHOTO], **options)
    ],
    "detect": lambda client, **options: client.detect(PHOTO, **options),
    "analyze_face": lambda client, **options: client.analyze_face(PHOTO, **options),
    "analyze_crop": lambda client, **options: client.analyze_crop(PHOTO, **options),
    "analyze_crop of a file": lambda client, **options: client.analyze_crop(PNG.getvalue(), **options),
    "analyze_crops": lambda client, **options: client.analyze_crops([PHOTO] * 3, **options),
    "contract": lambda client, **options: client.contract(**options),
    "notice": lambda client, **options: client.notice(**options),
    "precision": lambda client, **options: client.precision(**options),
    "models": lambda client, **options: client.models(**options),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class Remaining:
    """What the server sees of the deadlines of the requests."""

    def __init__(self, fake: FakeServer) -> None:
        self.seconds: list[float] = []
        fake.before_infer = fake.before_read = self._note

    def _note(self, number: int, context: grpc.ServicerContext) -> None:
        self.seconds.append(context.time_remaining())


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Any]:
    made: Any = FaceClient(url) if request.param == "blocking" else InLoop(lambda: AsyncFaceClient(url))
    with made as opened:
        yield opened


@each_call
def test_each_request_of_a_call_has_the_calls_own_deadline(fake: FakeServer, client: Any, call: Call) -> None:
    client.models()  # a first contact has a bound of its own
    seen = Remaining(fake)
    call(client, timeout=500.0)
    assert seen.seconds
    assert all(61 < seconds < 501 for seconds in seen.seconds)
    seen.seconds.clear()
    call(client)
    assert all(seconds < 61 for seconds in seen.seconds)


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan"), "soon"])
def test_a_deadline_that_is_none_is_refused_as_the_clients_is(
    fake: FakeServer, client: Any, seconds: Any
) -> None:
    for call in CALLS.values():
        with pytest.raises(ValueError, match="timeout is a finite number of seconds above 0, not"):
            call(client, timeout=seconds)
    assert fake.reads == fake.infers == 0


def test_a_call_ends_within_its_own_deadline_and_the_next_has_the_clients(
    fake: FakeServer, client: Any
) -> None:
    client.models()
    fake.before_infer = late(30)
    with pytest.raises(RequestTimeout):
        client.analyze(PHOTO, timeout=0.2)
    fake.before_infer = lambda number, context: None
    assert client.analyze(PHOTO)[0].mood.label == "glad"


def test_retries_end_with_the_calls_deadline(fake: FakeServer, client: Any) -> None:
    client.models()
    fake.before_infer = refuse(10_000, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait")
    with pytest.raises(ServerBusy, match=r"too many wait\): try again later \(\d+ tries in 0\.\d s"):
        client.analyze(PHOTO, timeout=0.5)


def test_chunks_of_one_call_share_its_deadline(fake: FakeServer, client: Any) -> None:
    client.models()
    fake.before_infer = late(0.2)
    with pytest.raises(RequestTimeout):
        client.analyze_crops([PHOTO] * 20, timeout=0.6)  # two in each request
    assert 1 < fake.infers < 10


def test_the_sentence_names_the_calls_own_seconds(fake: FakeServer, url: str) -> None:
    def slow(tensors: dict[str, Any]) -> None:
        time.sleep(0.15)
        tensors["contract"] = np.array([b"another contract"], object)  # so that it is asked again

    fake.change_answer = slow
    with FaceClient(url) as client:
        client.models()
        with pytest.raises(RequestTimeout, match=r"in time.*had 0\.4 s|within 0\.4 s"):
            client.analyze(PHOTO, timeout=0.4)


def test_a_silent_address_shows_early_however_long_the_call_may_take(fake: FakeServer, url: str) -> None:
    fake.before_read = late(30)
    with (
        FaceClient(url, timeout=Timeout(connect=0.2)) as client,
        pytest.raises(ConnectError, match=f"no server at {url} has answered within 0.2 s"),
    ):
        client.analyze(PHOTO, timeout=300)
