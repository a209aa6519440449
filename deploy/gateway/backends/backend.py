"""Backend: one Triton behind the gateway, with what it serves and what is in flight on it."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO, TypeVar

import aiohttp
import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc

from deploy.embedded import CannotStart, EmbeddedServer
from deploy.embedded.errors import NoRoom
from deploy.gateway.backends import processes
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.options import GatewayOptions

_CHANNEL = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)
_READ_SECONDS = 30.0  # for what a Triton serves, and for its metrics
_FROZEN_SECONDS = 0.15  # after which a stopped process counts as frozen
# Starting and stopping block for seconds: not in the event loop, nor in the threads that others use.
Result = TypeVar("Result")
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="backend")


class Backend:
    """A Triton that has become ready; in the event loop of the gateway only.

    generation   counts the Tritons of this gateway; a newer one has a higher number
    address      what to connect to, "unix:..."
    in_flight    requests that were begun on it and not ended
    sick         why it gets no more work; "" while it is well
    mistaken     it was given up for taking a process for dead that lives: it may mix up requests' tensors
    """

    def __init__(
        self,
        *,
        generation: int,
        repository: Path,
        address: str,
        served: ServedModels,
        server: EmbeddedServer | None = None,
        family: tuple[processes.Process, ...] = (),
    ) -> None:
        self.generation = generation
        self.repository = repository
        self.address = address
        self.served = served
        self.sick = ""
        self.mistaken = False
        self.processes = family
        self._server = server
        self._frozen: processes.Process | None = None
        self._frozen_since = 0.0
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._ending: asyncio.Task[None] | None = None
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    # -- work ---------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def begin(self) -> None:
        """Counts a request that is about to be sent."""
        self._in_flight += 1
        self._idle.clear()

    def end(self) -> None:
        """Counts that one was answered or has failed."""
        self._in_flight = max(0, self._in_flight - 1)
        if not self._in_flight:
            self._idle.set()

    async def drained(self, seconds: float) -> bool:
        """Waits until nothing is in flight; False where that took longer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout=seconds)
        return not self._in_flight

    # -- state --------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of tritonserver."""
        return next((each.pid for each in self.processes if each.name == "tritonserver"), 0)

    @property
    def pids(self) -> dict[int, str]:
        """The process ids of the guard, of tritonserver and of the models' processes, and what each is."""
        return {each.pid: each.name for each in self.processes}

    @property
    def ending(self) -> bool:
        """Whether it is being ended, or has been: then its processes die as they should."""
        return self._ending is not None

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self.served.metadata)

    def look(self) -> str:
        """Why this Triton is to be replaced, "" where all its processes live; a tenth of a millisecond.

        A frozen process counts once it is so for a moment: a debugger may stop one and let it go.
        """
        found = processes.first_not_alive(self.processes)
        if found is None:
            self._frozen = None
            return ""
        process, state = found
        if state is processes.State.FROZEN:
            if process != self._frozen:
                self._frozen, self._frozen_since = process, time.monotonic()
            if time.monotonic() - self._frozen_since < _FROZEN_SECONDS:
                return ""
        return f"{process.name} is {state.value}"

    @property
    def frozen(self) -> bool:
        """Whether a process of it was stopped when it was last looked at."""
        return self._frozen is not None

    @property
    def alive(self) -> bool:
        """Whether tritonserver itself can still answer."""
        return all(
            processes.state_of(each) is processes.State.ALIVE
            for each in self.processes
            if each.pid == self.pid
        )

    @property
    def on_gpu(self) -> bool:
        """Whether engines of it are on GPUs."""
        return self._server is not None and self._server.on_gpu

    async def memory(self) -> int:
        """Bytes of all its processes, what they share counted once."""
        return await in_thread(lambda: processes.proportional_bytes(self.processes))

    async def scrape(self) -> str:
        """The text of Triton's own metrics page; OSError or TimeoutError where it does not answer."""
        if self._server is None:
            return ""
        path = self._server.metrics_address.removeprefix("unix:")
        timeout = aiohttp.ClientTimeout(total=_READ_SECONDS)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path), timeout=timeout) as session:
            try:
                async with session.get("http://triton/metrics") as answer:
                    return await answer.text()
            except aiohttp.ClientError as error:
                raise OSError(
                    f"Triton {self.generation} does not answer with its metrics: {error}"
                ) from error

    def at_normal_priority(self) -> None:
        """It is about to answer: it loses the low priority that it was loaded with."""
        if self._server is not None:
            self._server.at_normal_priority()

    # -- the end ------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Ends the Triton at once, with all that belongs to it; see `drained` for what is in flight.

        An ordered end would unload one model after another for seconds, and saves no answer. May be called
        again, by others too: each call returns when the end is reached.
        """
        if self._server is not None:
            self._server.kill()
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        if self._server is not None:
            await in_thread(self._server.stop)
        await self.channel.close()


async def start_backend(
    *,
    generation: int,
    repository: Path,
    options: GatewayOptions,
    log: TextIO | None,
    niceness: int = 0,
) -> Backend:
    """Starts a Triton and reads what it serves; raises an EmbeddedServerError with one sentence.

    Cancelled, it leaves nothing running.
    """
    folder = socket_folder()
    server = EmbeddedServer(
        repository,
        sockets=folder,
        triton=options.triton,
        python=options.python,
        cache=options.cache,
        log=log,
        log_prefix=f"triton {generation} | ",
        start_timeout=options.start_timeout,
        grace=options.grace_seconds,
        niceness=niceness,
        arguments=options.triton_arguments,
    )
    cancel = threading.Event()
    starting = _THREADS.submit(server.start, cancel=cancel)
    started = asyncio.wrap_future(starting)
    started.add_done_callback(_collect)
    try:
        await asyncio.shield(started)
        served = await read_served(server.grpc_address, names=server.models, generation=generation)
        family = await in_thread(lambda: processes.family(server.guard_pid))
        return Backend(
            generation=generation,
            repository=repository,
            address=server.grpc_address,
            served=served,
            server=server,
            family=family,
        )
    except BaseException as error:
        cancel.set()
        await asyncio.shield(in_thread(lambda: _clean_up(server, starting, folder)))
        if isinstance(error, OSError | grpc.aio.AioRpcError):
            raise CannotStart(
                f"the server started, and then could not be asked what it serves: {error}"
            ) from error
        raise


def _collect(started: "asyncio.Future[None]") -> None:
    """Looks at how a start ended, which asyncio reports where nobody waits for it any more."""
    if not started.cancelled():
        started.exception()


def _clean_up(server: EmbeddedServer, starting: "Future[None]", folder: Path) -> None:
    """Ends what a failed or cancelled start has left, once the start itself has come to its end."""
    wait([starting])
    server.kill()
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


async def read_served(address: str, *, names: Iterable[str], generation: int) -> ServedModels:
    """What the Triton at this address serves."""
    async with grpc.aio.insecure_channel(address, options=_CHANNEL) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        server = await stub.ServerMetadata(v2.ServerMetadataRequest(), timeout=_READ_SECONDS)
        configs = {
            name: await stub.ModelConfig(v2.ModelConfigRequest(name=name), timeout=_READ_SECONDS)
            for name in names
        }
        metadata = {
            name: await stub.ModelMetadata(v2.ModelMetadataRequest(name=name), timeout=_READ_SECONDS)
            for name in names
        }
    return ServedModels.of(generation=generation, server=server, configs=configs, metadata=metadata)


def socket_folder() -> Path:
    """A new folder that nobody else may enter, with a path that is short enough for sockets.

    NoRoom where none can be made.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = 0 < len(runtime) <= 64 and Path(runtime).is_dir() and os.access(runtime, os.W_OK | os.X_OK)
    parent = runtime if usable else "/tmp"
    try:
        return Path(tempfile.mkdtemp(prefix="qface-", dir=parent))
    except OSError as error:
        raise NoRoom(
            f"a folder for Triton's sockets can't be made in {parent} ({error.strerror}): make room there "
            "and let this user write, or name another place in XDG_RUNTIME_DIR"
        ) from error


async def in_thread(work: Callable[[], Result]) -> Result:
    """Runs what blocks beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
