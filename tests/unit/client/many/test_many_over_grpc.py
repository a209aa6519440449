"""`analyze_many` over gRPC: the calls of an iterator that ends are cancelled at the server."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from qface_client import AsyncFaceClient, FaceClient
from tests.helpers.fake_v2_server import (
    FakeServer,
    classes,
    closed_port,
    contract_of,
    late,
    running,
    serve,
)
from tests.helpers.planted_transport import until


class Waiting:
    """Answers the first of four calls when the others wait, and those when their callers have gone."""

    def __init__(self) -> None:
        self.waiting = self.gone = 0
        self._lock = threading.Lock()

    def __call__(self, number: int, context: grpc.ServicerContext) -> None:
        if number == 1:
            until(lambda: self.waiting == 3)
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


def test_a_loop_ends_whose_client_was_closed_and_whose_iterator_was_dropped(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Python 3.10 has it, where the end of a call and that of its task look alike.
    monkeypatch.setattr("qface_client._connection.transport._is_cancelled", lambda task: False)

    async def run() -> None:
        async with AsyncFaceClient(url) as client:
            async for _ in client.analyze_many([b"photo"] * 4, concurrency=4):
                break

    loop = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    loop.start()
    loop.join(20)
    assert not loop.is_alive()


def test_a_server_that_restarts_in_the_middle_costs_no_photo() -> None:
    fake, port = FakeServer(contract_of(classes("mood", ["glad", "sad"]))), closed_port()
    fake.before_infer = late(0.005)

    def photos() -> Iterator[bytes]:
        for number in range(200):
            if number == 100:
                stack.close()  # the calls under way end without an answer
                threading.Timer(0.3, start).start()
            yield b"photo"

    def start() -> None:
        stack.enter_context(running(fake, port=port))

    with contextlib.ExitStack() as stack:
        start()
        with FaceClient(f"127.0.0.1:{port}") as client:
            results = list(client.analyze_many(photos(), concurrency=8, ordered=True))
    assert [result.index for result in results] == list(range(200))
    assert [result.error for result in results if result.error] == []


def test_ctrl_c_while_it_waits_cancels_the_calls(fake: FakeServer, url: str) -> None:
    waiting = fake.before_infer
    assert isinstance(waiting, Waiting)

    def interrupt() -> None:
        time.sleep(0.2)  # it waits by then
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with FaceClient(url) as client:
        results = client.analyze_many([b"photo"] * 4, concurrency=4)
        next(results)
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            next(results)
        interrupter.join()
        until(lambda: waiting.gone == 3)
        assert not any(thread.name.startswith("qface-many") for thread in threading.enumerate())
