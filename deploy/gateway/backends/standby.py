"""The standby: a second Triton that is kept ready, where memory allows, so that a repair takes no start."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol

from deploy.embedded.process_priority import LOW, can_be_raised
from deploy.gateway.backends.backend import Backend, in_thread
from deploy.host.nvidia_smi import GpuState, NvidiaSmiError, read_gpus

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 30.0  # after a standby that did not start, or for which there was no memory
_BUSY_SECONDS = 30.0  # the longest that a standby waits for the active one to be idle for a moment
_MEBIBYTE = 1 << 20


class Starter(Protocol):
    """Starts a Triton of a repository; it has passed its canaries. Raises EmbeddedServerError, or OSError."""

    def __call__(self, repository: Path, *, niceness: int) -> Awaitable[Backend]: ...


def available_bytes(*, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process may still use: the machine's, or less where a control group has a limit."""
    available = 0
    for line in (proc / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                left = _left(groups, path, limit="memory.max", usage="memory.current")
            elif "memory" in controllers.split(","):
                left = _left(
                    groups / "memory", path, limit="memory.limit_in_bytes", usage="memory.usage_in_bytes"
                )
            else:
                continue
            available = min(available, left) if left is not None else available
    return available


def _left(root: Path, path: str, *, limit: str, usage: str) -> int | None:
    """What the tightest group from the process's own upwards has left; file pages in no use count as left."""
    found = None
    folder = root / path.lstrip("/")
    while True:
        with contextlib.suppress(
            OSError, ValueError
        ):  # "max" is no limit; in a container paths may not exist
            left = int((folder / limit).read_text()) - int((folder / usage).read_text())
            for line in (folder / "memory.stat").read_text().splitlines():
                if line.startswith(("inactive_file ", "total_inactive_file ")):
                    left += int(line.split()[1])
                    break
            found = left if found is None else min(found, left)
        if folder == root or root not in folder.parents:
            return found
        folder = folder.parent


def gpu_shortage(read: Callable[[], Iterable[GpuState]] = read_gpus) -> str | None:
    """Why a second Triton would find no room on the GPUs; None where each has as much free as is in use.

    Whose memory that is can't be read from inside a container, so all that is in use counts as the running
    Triton's. Not run on a GPU yet.
    """
    try:
        gpus = tuple(read())
    except NvidiaSmiError as error:
        return f"how much memory of the GPUs is free is not known: {error}"
    for gpu in gpus:
        if gpu.divided or gpu.free is None or gpu.used is None:
            return f"how much memory of {gpu} is free is not known, as of one that is divided by MIG"
        if gpu.free < gpu.used:
            return (
                f"{gpu.free // _MEBIBYTE} MiB of {gpu} are free, and as much as the "
                f"{gpu.used // _MEBIBYTE} MiB in use is wanted"
            )
    return None if gpus else "nvidia-smi shows no GPU"


class Standby:
    """Keeps at most one standby of the active Triton's repository.

    mode        auto: where at least twice the memory of the active one is available, and with an engine on
                GPUs room on them too; always; never
    start       starts a Triton
    active      the Triton that answers now; None also while another one is started in its place
    on_event    one line each for the log
    """

    def __init__(
        self,
        mode: Literal["auto", "always", "never"],
        *,
        start: Starter,
        active: Callable[[], Backend | None],
        on_event: Callable[[str, str], None],
        available: Callable[[], int] = available_bytes,
        shortage: Callable[[], str | None] = gpu_shortage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mode = mode
        self._start = start
        self._active = active
        self._on_event = on_event
        self._available = available
        self._shortage = shortage
        self._clock = clock
        self._backend: Backend | None = None
        self._measured: tuple[int, int] | None = None  # generation of the active one, its bytes
        self._refused = False
        self._task: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[Backend] | None = None
        self._repository: Path | None = None  # of what loads

    @property
    def backend(self) -> Backend | None:
        return self._backend

    def take(self, repository: Path) -> Backend | None:
        """The standby of this repository, which is one no more; None where there is none that is well."""
        backend = self._backend
        if backend is None or backend.repository != repository or backend.sick or backend.look():
            return None
        self._backend = None
        return backend

    async def loaded(self, repository: Path) -> Backend | None:
        """As `take`, with one that is being started waited for: a start beside it would slow both down."""
        if self._loading is not None and self._repository == repository:
            await asyncio.wait({self._loading})  # `_keep` waits longer for it, and so goes on first
        return self.take(repository)

    def lost(self, backend: Backend) -> None:
        """The standby has died: another one is started in time."""
        if self._backend is backend:
            self._backend = None

    def keep(self) -> None:
        """Begins to look after a standby."""
        if self._mode != "never" and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="standby")

    async def drop(self) -> None:
        """Ends the standby, or the start of one; `keep` begins anew."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        loading, self._loading = self._loading, None
        backend, self._backend = self._backend, None
        if loading is not None:
            (loaded,) = await asyncio.gather(loading, return_exceptions=True)
            backend = loaded if isinstance(loaded, Backend) else backend  # ready as it was called off
        if backend is not None:
            await backend.stop()

    async def make_room(self) -> None:
        """Ends the standby where a further Triton beside it would find no memory."""
        if self._backend is None or self._measured is None or self._mode != "auto":
            return
        if self._available() < self._measured[1] or (
            self._backend.on_gpu and await in_thread(self._shortage) is not None
        ):
            await self.drop()

    async def allowed(self, active: Backend) -> bool:
        """Whether a second Triton beside this one is wanted and has room."""
        if self._mode != "auto":
            return self._mode == "always"
        if self._measured is None or self._measured[0] != active.generation:
            self._measured = active.generation, await active.memory()
        available, shortage = self._available(), None
        if available < 2 * self._measured[1]:
            shortage = (
                f"{available // _MEBIBYTE} MiB are available, and twice the "
                f"{self._measured[1] // _MEBIBYTE} MiB of the running server are wanted"
            )
        elif active.on_gpu:
            shortage = await in_thread(self._shortage)
        if shortage is not None and not self._refused:
            self._on_event("standby", f"no standby: {shortage}")
        self._refused = shortage is not None
        return shortage is None

    async def _keep(self) -> None:
        since = self._clock()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            active = self._active()
            if active is None or self._backend is not None:
                since = self._clock()
                continue
            if active.in_flight and self._clock() - since < _BUSY_SECONDS:
                continue
            try:
                if not await self.allowed(active):
                    await asyncio.sleep(_AGAIN_SECONDS)
                    continue
                self._repository = active.repository
                self._loading = asyncio.get_running_loop().create_task(self._begin(active.repository))
                self._backend = await self._loading
                self._loading = None
            except Exception as error:  # whatever it is: nobody else would try again
                self._loading = None
                self._on_event("standby", f"the standby did not start: {error}")
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _begin(self, repository: Path) -> Backend:
        began = self._clock()
        low = LOW if can_be_raised() else 0
        backend = await self._start(repository, niceness=low)
        backend.at_normal_priority()
        self._on_event(
            "standby_ready",
            f"a standby is ready (Triton {backend.generation}, {self._clock() - began:.1f} s)",
        )
        return backend
