"""`analyze_many` over gRPC: the calls of an iterator that ends are cancelled at the server."""

import asyncio
import threading
from collections.abc import Iterator

import grpc
import pytest

from qface_client import AsyncFaceClient, FaceClient
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, late, serve
from tests.helpers.planted_transport import until


class Waiting:
    """Answers the first call, and the others when their callers have gone."""

    def __init__(self) -> None:
        self.waiting = self.gone = 0
        self._lock = threading.Lock()

    def __call__(self, number: int, context: grpc.ServicerContext) -> None:
        if number == 1:
            return
        with self._lock:
            self.waiting += 1
        late(30)(number, context)
        with self._lock:
            self.gone += not context.is_active()


@pytest.fixture
def fake() -> FakeServer:
    fake = FakeServer(contract_of(classes("mood", ["glad", "sad"])))
    fake.before_infer = Waiting()
    return fake


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    yield from serve(fake)


def test_calls_of_threads_are_cancelled(fake: FakeServer, url: str) -> None:
    waiting = fake.before_infer
    assert isinstance(waiting, Waiting)
    with FaceClient(url) as client:
        results = client.analyze_many([b"photo"] * 4, concurrency=4)
        assert len(next(results).faces) == 1
        until(lambda: waiting.waiting == 3)
        results.close()
        until(lambda: waiting.gone == 3)
        assert not any(thread.name.startswith("qface-many") for thread in threading.enumerate())


def test_calls_of_tasks_are_cancelled(fake: FakeServer, url: str) -> None:
    waiting = fake.before_infer
    assert isinstance(waiting, Waiting)

    async def run() -> None:
        async with AsyncFaceClient(url) as client:
            results = client.analyze_many([b"photo"] * 4, concurrency=4)
            assert len((await anext(results)).faces) == 1
            await asyncio.to_thread(until, lambda: waiting.waiting == 3)
            await results.aclose()
            await asyncio.to_thread(until, lambda: waiting.gone == 3)

    asyncio.run(run())
