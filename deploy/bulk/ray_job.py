"""A run as a Ray Data job, on this machine or on a cluster alike.

    chunk numbers ─> their rows of the listing ─> workers, one a core ─> results, kept by whoever started this

The rows are read on this machine, where the folder of the run is; over the cluster's network go a chunk's
addresses, and its tables back. So no other machine needs the folder, only the photos. Memory does not grow
with the inputs: Ray Data holds back what is not wanted yet.
"""

import contextlib
import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.bulk.chunks import Result, Todo
from deploy.bulk.errors import Refused, Stopped
from deploy.bulk.folder.run_folder import RunFolder
from deploy.bulk.scratch import ScratchFolder, scratch_folder
from deploy.bulk.worker import Worker, WorkerSpec

_ROOT = Path(__file__).resolve().parents[2]
_STORE_BYTES = 256 * 1024 * 1024  # of Ray's object store: some chunks' tables
_MOST_BLOCKS = 4_096  # into which Ray divides the chunk numbers
_LOOPBACK = "127.0.0.1"
_CONNECT_SECONDS = 10.0  # to a cluster's head
# How often a chunk is computed again whose worker died. What a photo may kill is a process of its own.
_RETRIES = 5


class RayJob:
    """A `job.Compute` of Ray Data."""

    def __init__(self, *, address: str | None, workers: int | None) -> None:
        """`address`: of a cluster; None: Ray is started here, for this run. `workers`: None: by cores."""
        self._address = address
        self._workers = workers

    def __call__(
        self, spec: WorkerSpec, folder: RunFolder, todo: Sequence[Todo]
    ) -> Generator[Result, None, None]:
        with _ray(self._address, workers=self._workers) as ray:
            workers = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            yield from _results(ray, spec, folder, todo, workers=min(workers, len(todo)))


def _results(
    ray: Any, spec: WorkerSpec, folder: RunFolder, todo: Sequence[Todo], *, workers: int
) -> Iterator[Result]:
    here = ray.get_runtime_context().get_node_id()
    items = [{"todo": pickle.dumps(each)} for each in todo]
    chunks = ray.data.from_items(items, override_num_blocks=min(len(items), _MOST_BLOCKS))
    # Only this machine has the run's folder. Reading rows takes no core: all are the workers'. One process
    # does it: without a bound Ray would start one for each chunk.
    rows = chunks.map(
        _Rows(folder.path, spec),
        num_cpus=0,
        compute=ray.data.TaskPoolStrategy(size=1),
        label_selector={"ray.io/node-id": here},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how retries are named, which has no other name yet
        computed = rows.map_batches(
            _RayWorker,
            fn_constructor_args=(pickle.dumps(spec),),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            max_task_retries=_RETRIES,
        )
    try:
        for row in computed.iter_rows():
            result: Result = pickle.loads(row["result"])
            yield result
    except ray.exceptions.RayError as error:
        words = str(error).strip().splitlines()
        raise Stopped(
            f"Ray could not go on ({type(error).__name__}: {words[-1] if words else 'no reason given'}): the "
            "same command goes on"
        ) from error


class _Rows:
    """The photos of a chunk, read from the listing."""

    def __init__(self, path: Path, spec: WorkerSpec) -> None:
        self._path = path
        self._settings = spec.settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        work = RunFolder(self._path).work(pickle.loads(row["todo"]), self._settings)
        return {"work": pickle.dumps(work)}


class _RayWorker:
    """A worker as an actor."""

    def __init__(self, spec: bytes) -> None:
        self._worker = Worker(pickle.loads(spec))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        results = [pickle.dumps(self._worker.compute(pickle.loads(work))) for work in batch["work"]]
        return {"result": results}


@contextlib.contextmanager
def _ray(address: str | None, *, workers: int | None) -> Iterator[Any]:
    """Ray, connected; ended with the context, with all that was started for it. Stopped where that fails."""
    try:
        scratch = scratch_folder() if address is None else None
    except OSError as error:
        raise Stopped(
            f"Ray has no place for its files ({error}): free some, or name another one by TMPDIR"
        ) from error
    try:
        yield _connected(address, scratch=scratch, workers=workers)
    finally:
        with _silenced():
            if "ray" in sys.modules:
                sys.modules["ray"].shutdown()
        if scratch is not None:
            scratch.remove()


def _connected(address: str | None, *, scratch: ScratchFolder | None, workers: int | None) -> Any:
    if address is not None:
        _check_answers(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if scratch is not None:
        _set_environment()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if scratch is not None:
        options |= {
            "address": "local",  # also where RAY_ADDRESS names a cluster
            "num_cpus": workers or len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_temp_dir": str(scratch.path),
            "_node_ip_address": _LOOPBACK,
        }
    else:
        options |= {"address": address, "runtime_env": {"env_vars": {"PYTHONPATH": _python_path()}}}
    try:
        with _silenced():
            import ray
            import ray.data
            import ray.exceptions

            ray.init(**options)
    except ImportError as error:
        raise Refused(
            f"Ray is missing ({error}): `make .venv-bulk` installs it, or take --in-process"
        ) from error
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        where = f"at {address}" if address else "here"
        raise Stopped(f"Ray can't be used {where} ({' '.join(str(error).split())})") from error
    finally:
        for number, handler in handlers.items():  # Ray sets its own, which print what it was doing
            signal.signal(number, handler)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return ray


def _check_answers(address: str) -> None:
    """Stopped where nothing listens at host:port: Ray would try for minutes, without a word."""
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal():  # "auto", or of another sort
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise Stopped(
            f"no Ray cluster answers at {address} ({error}): check the address, and that `ray start --head` "
            "runs there"
        ) from error


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Without what Ray's native code prints, past Python, as it starts and ends."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def _set_environment() -> None:
    """For a Ray of this run's own: nothing listens on other interfaces, reports use, or lets others in."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # by which Ray takes the loopback interface alone
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    # Ray would kill a worker as memory gets short; the kernel kills what holds it: the process that answers.
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112 - so it is called
    os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
    os.environ["PYTHONPATH"] = _python_path()


def _python_path() -> str:
    """Where workers find this program."""
    return os.pathsep.join(
        dict.fromkeys([str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    )
