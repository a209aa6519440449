"""A client's life: threads, cancelling, closing at any time, forks, pickling, being forgotten."""

import asyncio
import concurrent.futures
import copy
import gc
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import AsyncFaceClient, FaceClient, RequestTimeout
from tests.helpers.bystanders import eventually
from tests.helpers.fake_v2_server import FakeServer, late, refuse, running

PHOTO = np.zeros((80, 100, 3), np.uint8)


class Ends:
    """Calls that wait at the server, and how often one of them was ended by its client."""

    def __init__(self, fake: FakeServer) -> None:
        self.begun = threading.Semaphore(0)
        self.ended = 0
        fake.before_infer = self._wait

    def _wait(self, number: int, context: grpc.ServicerContext) -> None:
        self.begun.release()
        late(30)(number, context)
        self.ended += not context.is_active()


# -- closing --------------------------------------------------------------------------------------------


def test_closing_twice_is_closing_once(url: str) -> None:
    closed = []

    class Transport:
        def close(self) -> None:
            closed.append(1)

    with FaceClient(transport=Transport()) as client:  # type: ignore[arg-type]
        client.close()
        client.close()
    assert closed == [1]
    with FaceClient(url) as over_grpc:
        over_grpc.close()

    async def twin() -> None:
        async with AsyncFaceClient(url) as unused:
            pass
        await unused.close()
        async with AsyncFaceClient(url) as used:
            await used.analyze(PHOTO)
            await used.close()
            with pytest.raises(RuntimeError, match="this AsyncFaceClient is closed: make a new one"):
                await used.analyze(PHOTO)

    asyncio.run(twin())


def test_every_method_of_a_closed_client_says_so(url: str) -> None:
    client = FaceClient(url)
    client.close()
    with_picture = (client.analyze, client.detect, client.analyze_face, client.analyze_crop)
    for call in (*with_picture, lambda _: client.analyze_crops([PHOTO])):
        with pytest.raises(RuntimeError, match="this FaceClient is closed: make a new one"):
            call(PHOTO)
    for ask in (client.contract, client.notice, client.precision, client.models):
        with pytest.raises(RuntimeError, match="closed"):
            ask()


def test_closing_ends_the_calls_of_all_threads(fake: FakeServer, url: str) -> None:
    ends = Ends(fake)
    client = FaceClient(url)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(client.analyze, PHOTO) for _ in range(6)]
        for _ in calls:
            assert ends.begun.acquire(timeout=60)
        client.close()
        for call in calls:
            assert isinstance(call.exception(20), RuntimeError)
    assert eventually(lambda: ends.ended == 6)


def test_closing_while_others_begin_calls_gives_answers_and_runtime_errors_alone(url: str) -> None:
    for _ in range(5):
        client = FaceClient(url)

        def work(client: FaceClient = client) -> None:
            while True:
                client.analyze(PHOTO)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(work) for _ in range(8)]
            client.analyze(PHOTO)
            client.close()
            assert {type(call.exception(20)) for call in calls} == {RuntimeError}


def test_closing_the_twin_ends_its_calls_and_cancels_no_task(fake: FakeServer, url: str) -> None:
    ends = Ends(fake)

    async def talk() -> None:
        client = AsyncFaceClient(url)
        calls = [asyncio.create_task(client.analyze(PHOTO)) for _ in range(3)]
        for _ in calls:
            assert await asyncio.to_thread(ends.begun.acquire, timeout=60)
        await client.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
        assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3

    asyncio.run(talk())


# -- threads and tasks ----------------------------------------------------------------------------------


def test_64_threads_share_a_client(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(20, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait", pushback="10")
    with FaceClient(url) as client, concurrent.futures.ThreadPoolExecutor(64) as pool:
        faces = list(pool.map(lambda _: client.analyze(PHOTO)[0], range(256)))
    assert {face.mood.label for face in faces} == {"glad"}
    assert fake.infers == 276


def test_a_cancelled_call_is_cancelled_at_the_server_and_leaves_the_client_usable(
    fake: FakeServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ends = Ends(fake)

    async def talk() -> None:
        async with AsyncFaceClient(url) as client:
            call = asyncio.create_task(client.analyze(PHOTO))
            assert await asyncio.to_thread(ends.begun.acquire, timeout=60)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.analyze(PHOTO), 0.2)
            assert await asyncio.to_thread(eventually, lambda: ends.ended == 2)
            fake.before_infer = refuse(99, grpc.StatusCode.UNAVAILABLE, "starting", pushback="20000")
            waiting = asyncio.create_task(client.analyze(PHOTO))
            await asyncio.sleep(0.1)  # it is in the pause before its next try
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            fake.before_infer = lambda number, context: None
            assert (await client.analyze(PHOTO))[0].mood.label == "glad"

    with caplog.at_level(logging.WARNING):
        asyncio.run(talk(), debug=False)
    assert not caplog.records


def test_a_deadline_of_the_callers_own_around_a_call_is_the_callers(fake: FakeServer, url: str) -> None:
    fake.before_infer = late(30)

    async def talk() -> None:
        async with AsyncFaceClient(url, timeout=0.3) as client:
            with pytest.raises(RequestTimeout):  # and no TimeoutError: its own deadline was the earlier
                await asyncio.wait_for(client.analyze(PHOTO), 20)

    asyncio.run(talk())


def test_a_twin_may_be_made_before_its_loop_and_is_refused_in_another(url: str) -> None:
    client = AsyncFaceClient(url)

    async def ask() -> str:
        return str((await client.analyze(PHOTO))[0].mood.label)

    assert asyncio.run(ask()) == "glad"
    with pytest.raises(RuntimeError, match="belongs to the event loop of its first call"):
        asyncio.run(ask())


# -- other processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaceClient, AsyncFaceClient])
def test_a_client_can_be_neither_pickled_nor_copied(url: str, kind: Any) -> None:
    client = kind(url)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"a {kind.__name__} holds a connection .* make one in each"):
            attempt(client)
    client.close() if kind is FaceClient else asyncio.run(client.close())


FORKS = textwrap.dedent(
    """
    import multiprocessing, sys
    import numpy as np
    from qface_client import FaceClient

    PHOTO = np.zeros((80, 100, 3), np.uint8)

    def child(lines):
        try:
            with client:
                client.analyze(PHOTO)
        except RuntimeError as error:
            lines.put(str(error))
        with FaceClient(sys.argv[1], timeout=30) as own:
            lines.put(own.analyze(PHOTO)[0].mood.label)

    client = FaceClient(sys.argv[1], timeout=30)
    print(client.analyze(PHOTO)[0].mood.label)
    context = multiprocessing.get_context("fork")
    lines = context.Queue()
    process = context.Process(target=child, args=(lines,))
    process.start()
    print(lines.get(timeout=30))
    print(lines.get(timeout=30))
    process.join(30)
    print(client.analyze(PHOTO)[0].mood.label, process.exitcode)
    """
)


def test_after_a_fork_the_child_is_refused_the_parents_client_and_both_go_on_and_end_quietly(
    url: str, tmp_path: Path, client_environment: dict[str, str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, url],
        capture_output=True, text=True, timeout=120, env=client_environment,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "glad"
    assert lines[1].startswith("this FaceClient was made before this process was forked")
    assert lines[2:] == ["glad", "glad 0"]
    assert not [line for line in ran.stderr.splitlines() if "grpc" not in line and "fork_posix" not in line]


def test_a_client_that_is_forgotten_makes_no_noise(url: str) -> None:
    with warnings.catch_warnings(record=True) as noise:
        warnings.simplefilter("always")
        FaceClient(url).analyze(PHOTO)
        gc.collect()

        async def forget() -> None:
            await AsyncFaceClient(url).analyze(PHOTO)
            gc.collect()

        asyncio.run(forget())
    assert not [str(each.message) for each in noise]


def test_a_server_that_goes_and_comes_back_is_no_reason_for_a_new_client(fake: FakeServer) -> None:
    with running(fake) as url:
        client = FaceClient(url)
        client.analyze(PHOTO)
    with running(fake, port=int(url.rpartition(":")[2])), client:
        assert client.analyze(PHOTO)[0].mood.label == "glad"


@pytest.fixture
def client_environment() -> dict[str, str]:
    """For a program that uses this package."""
    import qface_client

    assert qface_client.__file__ is not None
    return {**os.environ, "PYTHONPATH": str(Path(qface_client.__file__).parents[1])}
