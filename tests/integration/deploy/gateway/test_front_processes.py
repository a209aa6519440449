"""Further front processes: they answer on one port, and what becomes of them becomes of no client."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.gateway.operation.workers import front_processes
from deploy.gateway.operation.workers.front_processes import FrontProcesses
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import unavailable
from deploy.gateway.work import Ending
from tests.helpers.fake_authority import FakeAuthority
from tests.helpers.fronts import MODELS, FakeTriton, crops_request, error_of
from tests.helpers.paths import ROOT

Test = Callable[["Running"], Coroutine[Any, Any, None]]


class Running:
    """Fronts, and what is behind them."""

    def __init__(self, folder: Path) -> None:
        self.triton = FakeTriton()
        self.log: list[str] = []
        self.events: list[str] = []
        self.cut_off: list[int] = []
        self.access_log = folder / "access.jsonl"
        self.authority: FakeAuthority
        self.fronts: FrontProcesses
        self.address = ""

    @property
    def pids(self) -> list[int]:
        return [front["pid"] for front in self.fronts.status()]

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[v2_grpc.GRPCInferenceServiceStub]:
        """A connection of its own: the kernel picks the process that gets it."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            await asyncio.wait_for(channel.channel_ready(), timeout=10)
            yield v2_grpc.GRPCInferenceServiceStub(channel)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.01)


def with_fronts(folder: Path, test: Test, *, count: int) -> None:
    """Runs `test` with further fronts alone: all that arrives is theirs."""

    async def once() -> None:
        running = Running(folder)
        async with running.triton.listening() as behind:
            running.authority = FakeAuthority(MODELS, behind)
            options = GatewayOptions(
                repository=folder, processes=count + 1, access_log=running.access_log, drain_seconds=5.0
            )
            running.fronts = FrontProcesses(
                running.authority,
                options=options,
                count=count,
                log=running.log.append,
                cut_off=running.cut_off.append,
                event=running.events.append,
            )
            with socket.socket() as held:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                held.bind(("127.0.0.1", 0))
                port = held.getsockname()[1]
                running.address = f"127.0.0.1:{port}"
                running.fronts.start(port)
                await running.fronts.started()
                try:
                    await test(running)
                finally:
                    await running.fronts.stop(0.5)

    asyncio.run(asyncio.wait_for(once(), timeout=120))


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_many_processes_answer_and_one_authority_counts(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert len({*running.pids, os.getpid()}) == 3
        for _ in range(12):
            async with running.connection() as service:
                await service.ModelInfer(crops_request(rows=2, id="a"), timeout=10)
        refused = crops_request()
        refused.model_name = "missing"
        async with running.connection() as service:
            assert (await service.ServerReady(v2.ServerReadyRequest())).ready
            error = await error_of(service.ModelInfer(refused, timeout=10))
            assert error.code() is grpc.StatusCode.NOT_FOUND
        await running.until(lambda: len(running.authority.finished) == 12 and running.authority.turned_away)
        assert {each.ending for each in running.authority.finished} == {Ending.ANSWERED}
        assert {each.faces for each in running.authority.finished} == {2}
        assert all(work.cost.rows == 2 for work in running.authority.admitted)
        await running.fronts.stop(0.5)
        assert len(running.access_log.read_text().splitlines()) == 13, "no line is lost when they end"
        assert not running.log

    with_fronts(tmp_path, test, count=2)


def test_a_killed_front_is_started_again_and_what_it_held_is_given_back(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        (pid,) = running.pids
        running.triton.go_on.clear()
        async with running.connection() as service:
            calls = [asyncio.ensure_future(service.ModelInfer(crops_request(), timeout=20)) for _ in range(3)]
            for _ in calls:
                await running.triton.arrived.acquire()
            os.kill(pid, signal.SIGKILL)
            for call in calls:  # typed at once, so that a client tries again
                assert (await error_of(call)).code() is grpc.StatusCode.UNAVAILABLE
        await running.until(lambda: len(running.authority.finished) == 3)
        assert {each.ending for each in running.authority.finished} == {Ending.ABANDONED}
        assert running.cut_off == [1]
        running.triton.go_on.set()
        await running.until(lambda: running.fronts.status()[0]["listening"])
        assert running.pids != [pid]
        async with running.connection() as service:
            await service.ModelInfer(crops_request(), timeout=10)
        assert running.events == ["front_died"]
        (sentence,) = running.log
        assert sentence.startswith(
            "front 2 ended by SIGKILL with 3 requests at Triton; it is started again in "
        )

    with_fronts(tmp_path, test, count=1)


def test_an_idle_front_that_dies_harms_no_triton(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        (pid,) = running.pids
        os.kill(pid, signal.SIGKILL)
        await running.until(lambda: running.pids != [pid] and running.fronts.status()[0]["listening"])
        assert running.cut_off == []

    with_fronts(tmp_path, test, count=1)


def test_a_front_that_is_asked_to_end_answers_first(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        (pid,) = running.pids
        running.triton.go_on.clear()
        async with running.connection() as service:
            call = asyncio.ensure_future(service.ModelInfer(crops_request(), timeout=20))
            await running.triton.arrived.acquire()
            os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.3)
            assert not call.done()
            running.triton.go_on.set()
            await call
        await running.until(lambda: running.pids not in ([pid], [None]))
        assert running.cut_off == []
        assert running.events == [], running.log

    with_fronts(tmp_path, test, count=1)


def test_a_front_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_processes, "SILENCE_SECONDS", 2.0)

    async def test(running: Running) -> None:
        (pid,) = running.pids
        os.kill(pid, signal.SIGSTOP)
        await running.until(lambda: running.pids not in ([pid], [None]))
        assert running.events == ["front_hung"]
        assert "gave no sign for 2 s and was killed" in running.log[0]
        assert not alive(pid)

    with_fronts(tmp_path, test, count=1)


def test_in_the_end_new_work_is_refused_and_accepted_work_is_answered(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        pids = running.pids
        running.triton.go_on.clear()
        async with running.connection() as service:
            accepted = asyncio.ensure_future(service.ModelInfer(crops_request(), timeout=20))
            await running.triton.arrived.acquire()
            await running.fronts.refuse_new(unavailable("it stops", reason="stopping", retry_after=1.5))
            for _ in range(8):
                async with running.connection() as other:
                    error = await error_of(other.ModelInfer(crops_request(), timeout=10))
                    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "it stops")
                    assert ("grpc-retry-pushback-ms", "1500") in tuple(error.trailing_metadata())
            running.triton.go_on.set()
            await accepted
        await running.fronts.stop(0.5)
        assert not any(map(alive, pids))
        assert not running.log

    with_fronts(tmp_path, test, count=2)


def test_a_call_in_the_last_moment_of_a_front_can_be_sent_again(tmp_path: Path) -> None:
    codes: set[grpc.StatusCode] = set()

    async def hammer(running: Running, ended: asyncio.Event) -> None:
        async with running.connection() as service:
            while not ended.is_set():
                try:
                    await service.ModelInfer(crops_request(), timeout=10)
                except grpc.aio.AioRpcError as error:
                    codes.add(error.code())

    async def test(running: Running) -> None:
        ended = asyncio.Event()
        hammering = [asyncio.ensure_future(hammer(running, ended)) for _ in range(8)]
        await running.until(lambda: len(running.authority.finished) > 20)
        await running.fronts.refuse_new(unavailable("it stops", reason="stopping", retry_after=1.5))
        await running.fronts.stop(0.5)
        ended.set()
        await asyncio.gather(*hammering)
        assert codes == {grpc.StatusCode.UNAVAILABLE}

    with_fronts(tmp_path, test, count=2)


def test_a_front_that_can_not_start_is_logged_and_tried_again(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        (pid,) = running.pids
        running.access_log.unlink()
        running.access_log.mkdir()
        os.kill(pid, signal.SIGKILL)
        await running.until(lambda: len(running.log) == 2)
        assert "ended with status 2; it is started again in 0.5 s" in running.log[1]
        running.access_log.rmdir()
        await running.until(lambda: running.fronts.status()[0]["listening"])

    with_fronts(tmp_path, test, count=1)


def test_what_is_served_changes_in_all_fronts(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        running.authority.models, running.authority.sick = None, {}
        running.fronts.changed()
        for _ in range(6):
            async with running.connection() as service:
                while (await service.ServerReady(v2.ServerReadyRequest())).ready:
                    await asyncio.sleep(0.01)
                error = await error_of(service.ModelInfer(crops_request(), timeout=10))
                assert error.details() == "no Triton is ready yet"

    with_fronts(tmp_path, test, count=2)


MAIN = """
import asyncio, pathlib
from deploy.gateway.operation.workers.front_processes import FrontProcesses
from deploy.gateway.options import GatewayOptions
from tests.helpers.fake_authority import FakeAuthority

async def main():
    fronts = FrontProcesses(
        FakeAuthority(None, None),
        options=GatewayOptions(repository=pathlib.Path(), processes=2, grpc_port=0),
        count=1,
        log=print,
        cut_off=print,
    )
    fronts.start(0)
    await fronts.started()
    print(fronts.status()[0]["pid"], flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_fronts_end_with_the_main_process(stopped: bool) -> None:
    main = subprocess.Popen(
        [sys.executable, "-c", MAIN],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert main.stdout is not None
    with main.stdout:
        pid = int(main.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)  # it can't notice that the socket is closed
        main.kill()
        main.wait()
        # The last writer of the pipe is the front: its end is read here, however long it takes.
        assert main.stdout.read() == b""
