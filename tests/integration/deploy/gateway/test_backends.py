"""Real Tritons under the pool: whatever dies or freezes is replaced, and no request is lost meanwhile."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.embedded import CannotStart, EmbeddedServerError, ModelFailed
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.backends.processes import Process, State, state_of
from deploy.gateway.options import GatewayOptions, Repair
from deploy.gateway.refusals import Refusal
from tests.helpers import tiny_repository

CLIENTS = 8
CROP = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(1, 16, 16, 3)
# Takes long enough that requests are in flight at any moment.
SLOW = tiny_repository.ECHO.replace(
    "        return [", "        import time\n        time.sleep(0.02)\n        return [", 1
)
INVERTED = SLOW.replace(".as_numpy())", ".as_numpy() ^ 255)")


class Load:
    """Clients that ask one request after another, each sent again where its Triton has died."""

    def __init__(self, pool: BackendPool) -> None:
        self.pool = pool
        self.answers = 0
        self.sent_again = 0
        self.refused = 0
        self.lost: list[str] = []
        self.wrong = 0
        self._stop = False

    def request(self) -> v2.ModelInferRequest:
        request = v2.ModelInferRequest(model_name="echo")
        request.inputs.add(name="crop", datatype="UINT8", shape=CROP.shape)
        request.raw_input_contents.append(CROP.tobytes())
        return request

    async def client(self) -> None:
        while not self._stop:
            try:
                backend = self.pool.begin()
            except Refusal:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            await self.one(backend)

    async def one(self, backend: Backend) -> None:
        while True:
            try:
                answer = await backend.stub.ModelInfer(self.request())
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                if isinstance(error, asyncio.CancelledError):  # the channel was closed, as its Triton ended
                    code, details = grpc.StatusCode.CANCELLED, ""
                else:
                    code, details = error.code(), error.details() or ""
                if await self.pool.lost(backend.generation, code, details):
                    self.sent_again += 1
                    again = await self.pool.another(backend.generation)
                    self.pool.end(backend.generation)
                    backend = again
                    continue
                self.lost.append(f"{code}: {details}")
            else:
                self.answers += 1
                self.pool.answered("echo", backend.generation)
                inverted = backend.repository.name.startswith("inverted")
                expected = CROP ^ 255 if inverted else CROP
                self.wrong += answer.raw_output_contents[0] != expected.tobytes()
            self.pool.end(backend.generation)
            return

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.client()) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            self._stop = True
            await asyncio.wait_for(asyncio.gather(*tasks), timeout=120)

    async def goes_on(self) -> None:
        """Returns when further answers have come from the Triton that is active now."""
        before = self.answers
        while self.answers < before + 2 * CLIENTS or self.pool.active is None:
            await asyncio.sleep(0.01)


def run(
    folder: Path,
    test: Callable[[BackendPool, Load, list[tuple[str, str]]], Coroutine[Any, Any, None]],
    *,
    standby: str = "never",
) -> Load:
    """Runs `test` under load; nothing is lost or wrong, and nothing is left running, whatever it does."""
    repository = tiny_repository.write(folder / "repository", echo=SLOW, other=tiny_repository.ECHO)
    options = GatewayOptions(
        repository=repository,
        log=folder / "triton.log",
        repair=Repair(standby=standby),  # type: ignore[arg-type]
    )
    events: list[tuple[str, str]] = []

    async def main() -> Load:
        pool = BackendPool(
            options,
            on_change=lambda: None,
            on_event=lambda kind, sentence: events.append((kind, sentence)),
        )
        await pool.start()
        load = Load(pool)
        running: tuple[Process, ...] = ()
        try:
            async with load.running():
                await load.goes_on()
                await test(pool, load, events)
                await load.goes_on()
                assert pool.health() == (True, "")
                assert pool.active is not None
                running = pool.active.processes
        finally:
            await pool.stop()
        assert all(state_of(each) is State.DEAD for each in running)
        return load

    load = asyncio.run(asyncio.wait_for(main(), timeout=300))
    assert not load.lost
    assert not load.wrong
    assert not list(Path("/dev/shm").glob(f"qface_{os.getpid()}_*"))
    return load


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


async def seconds_of(work: Awaitable[None]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


def pid_of(backend: Backend, process: str) -> int:
    [pid] = [pid for pid, name in backend.pids.items() if name == process]
    return pid


@pytest.mark.parametrize(
    ("process", "number", "standby"),
    [
        ("the process of the model echo", signal.SIGKILL, "never"),
        ("the process of the model echo", signal.SIGSTOP, "never"),
        ("the process of the model other", signal.SIGKILL, "never"),
        ("tritonserver", signal.SIGKILL, "never"),
        ("tritonserver", signal.SIGSTOP, "never"),
        ("guard", signal.SIGKILL, "never"),
        ("the process of the model other", signal.SIGSTOP, "always"),
    ],
)
def test_whatever_dies_or_freezes_no_request_is_lost(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    process: str,
    number: signal.Signals,
    standby: str,
) -> None:
    # Under these clients no Triton is idle for a moment, for which a standby would wait half a minute.
    monkeypatch.setattr("deploy.gateway.backends.standby._BUSY_SECONDS", 0.5)

    async def test(pool: BackendPool, load: Load, events: list[tuple[str, str]]) -> None:
        if standby == "always":
            await until(lambda: pool.standby_ready)
        backend = pool.active
        assert backend is not None
        os.kill(pid_of(backend, process), number)
        took = await seconds_of(until(lambda: pool.active is not None and pool.active is not backend))
        with capsys.disabled():
            print(f"\n{number.name} of {process}, standby {standby}: whole after {took:.2f} s")
        await until(lambda: backend not in pool.backends)
        assert all(state_of(each) is State.DEAD for each in backend.processes)
        assert not Path(backend.address.removeprefix("unix:")).parent.exists()
        assert [kind for kind, _ in events if "standby" not in kind] == ["sick", "repaired"]
        assert pool.repairs == 1

    load = run(tmp_path, test, standby=standby)
    if process != "the process of the model other":
        assert load.sent_again


def test_other_repositories_take_over_under_load_and_no_answer_is_of_another_one(tmp_path: Path) -> None:
    inverted = tiny_repository.write(tmp_path / "inverted", echo=INVERTED)
    broken = tiny_repository.write(tmp_path / "broken", echo=tiny_repository.NOT_LOADING)
    silent = tiny_repository.write(tmp_path / "silent", echo=tiny_repository.REFUSING)

    async def test(pool: BackendPool, load: Load, events: list[tuple[str, str]]) -> None:
        first = pool.active
        assert first is not None
        await pool.swap(inverted)
        await load.goes_on()
        assert pool.active is not None
        assert list(pool.active.served.metadata) == ["echo"]
        await until(lambda: first not in pool.backends)
        with pytest.raises(ModelFailed, match="a_module_that_nobody_wrote"):
            await pool.swap(broken)
        with pytest.raises(CannotStart, match="no crop is good enough"):
            await pool.swap(silent)
        with pytest.raises(EmbeddedServerError, match="no model repository is assembled"):
            await pool.swap(tmp_path / "nowhere")
        assert pool.active.repository == inverted
        assert pool.previous == tmp_path / "repository"
        await pool.rollback()
        await load.goes_on()
        assert pool.active.repository == tmp_path / "repository"
        assert [kind for kind, _ in events] == ["swapped", *["swap_failed"] * 3, "rolled_back"]
        assert pool.repairs == 0

    load = run(tmp_path, test)
    assert not load.refused  # there was a Triton at any time


def test_the_metrics_of_a_triton_come_over_its_socket(tmp_path: Path) -> None:
    async def test(pool: BackendPool, load: Load, events: list[tuple[str, str]]) -> None:
        del load, events
        assert pool.active is not None
        assert 'nv_inference_request_success{model="echo",version="1"}' in await pool.active.scrape()
        assert await pool.active.memory() > 20 << 20

    run(tmp_path, test)


def test_a_first_triton_that_does_not_start_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path / "repository", echo=tiny_repository.NOT_LOADING)

    async def main() -> None:
        pool = BackendPool(
            GatewayOptions(repository=repository, log=tmp_path / "triton.log"),
            on_change=lambda: None,
            on_event=lambda kind, sentence: None,
        )
        with pytest.raises(ModelFailed, match="a_module_that_nobody_wrote"):
            await pool.start()
        await pool.stop()

    asyncio.run(main())
    assert not list(Path("/dev/shm").glob(f"qface_{os.getpid()}_*"))
