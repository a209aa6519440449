"""TensorRT's engine for the GPU, and TensorRT-RTX's, which proves on any machine that the network builds.

Both are built strongly typed: every layer computes in the type that the ONNX file says, and the builder
chooses among kernels only. So the precision is the file's, and no flag of the builder's.
"""

import contextlib
import importlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from build.backends import Engine
from build.backends.gpu import Gpu, gpu_versions, visible_gpus
from build.backends.targets import has_gpu, target_of
from build.backends.tensorrt_layers import inspected_layers, parsed_layers
from build.backends.tensorrt_plan import inspect, runner
from build.errors import BuildError
from build.files import replace_file
from build.onnx_interface import PIXELS
from build.serving.engine_settings import PLAN_FILE, Profile

OLDEST = (10, 12)  # has what strong typing needs, and nothing that version 11 took away
_AGAIN = "build it again on this machine with `--target tensorrt`"


def build(
    network: Path,
    *,
    rtx: bool,
    precision: str,
    max_batch: int,
    directory: Path,
    timing_cache: Path | None,
    progress: Callable[[str], None],
) -> Engine:
    """Builds model.plan in `directory` from the ONNX file `network`, for batches of 1 to `max_batch`.

    With `rtx` it is built by TensorRT-RTX, which needs no GPU. `timing_cache` is read and written
    (TensorRT only): with it the next build is shorter. `progress` is told what the builder is at.
    Raises BuildError for a batch below the served one, a network that TensorRT does not take, and where
    TensorRT or its GPU is missing. What TensorRT does with a GPU was not run on one yet.
    """
    target = target_of("tensorrt-rtx" if rtx else "tensorrt", precision)
    profile = Profile(opt=min(Profile().opt, max_batch), max=max_batch)
    trt = _module(rtx=rtx)
    here = gpu_versions()
    if not rtx and not here:
        raise BuildError(
            "the driver does not tell which GPU this process may use, so nobody could check later where the "
            "plan runs: see that CUDA_VISIBLE_DEVICES names one and that nvidia-smi works here"
        )
    messages: list[str] = []
    logger = _logger(trt, messages)
    builder = trt.Builder(logger)
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    # From version 11 on there is no other kind of network.
    definition = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse_from_file(str(network)):
        raise BuildError(f"{target.title} does not take {network}: {_first_error(parser)}")
    config = builder.create_builder_config()
    config.add_optimization_profile(_batches(builder, definition, profile))
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    tf32 = precision != "fp32"
    if not tf32:  # else the builder may round the factors of fp32 products to 10 bits
        config.clear_flag(trt.BuilderFlag.TF32)
    if timing_cache is not None and not rtx:
        use_timing_cache(config, timing_cache)
    monitor = config.progress_monitor = _monitor(trt, progress)
    with _stopped_by_interrupt(monitor):
        plan = builder.build_serialized_network(definition, config)
    if monitor.stopped:
        raise KeyboardInterrupt
    if plan is None:
        raise BuildError(f"{target.title} can't build an engine of {network} ({_last(messages)})")
    if timing_cache is not None and not rtx:
        keep_timing_cache(config, timing_cache)
    path = directory / PLAN_FILE
    path.write_bytes(memoryview(plan))
    layers, layers_from, infer, needs = parsed_layers(definition), "parsed network", None, "a GPU"
    if has_gpu():
        engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
        if engine is None and not rtx:
            raise BuildError(f"TensorRT can't open the engine that it built ({_last(messages)})")
        if engine is None:
            needs = "a GPU that TensorRT-RTX knows"
        else:
            layers, layers_from = inspected_layers(inspect(trt, engine)), "engine inspector"
            infer = runner(trt, engine)
            needs = "" if infer is not None else "a PyTorch with CUDA"
    return Engine(
        files={PLAN_FILE: path},
        layers=layers,
        layers_from=layers_from,
        versions={target.name: str(trt.__version__)} | here,
        settings={
            "profile": {"min": 1, "opt": profile.opt, "max": profile.max},
            "strongly_typed": True,
            "tf32": tf32,
        },
        infer=infer,
        needs=needs,
    )


def check_plan(plan: Path, report: Mapping[str, Any], *, gpus: Sequence[int] = ()) -> None:
    """Raises BuildError where a plan can't run here: a plan knows one TensorRT and one kind of GPU.

    `report` says what it was built with, as Engine.versions does in `versions`; `gpus` are the numbers of
    those that will serve it (empty: every one). The installed TensorRT is compared where there is one;
    the server's own, in its container, can't be asked from outside.
    """
    versions = report.get("versions", {})
    if missing := [key for key in ("tensorrt", "gpu", "compute_capability") if not versions.get(key)]:
        raise BuildError(f"nothing says for which {' and '.join(missing)} {plan} was built: {_AGAIN}")
    built = f"{plan} was built by TensorRT {versions['tensorrt']} for {versions['gpu']}"
    here = visible_gpus()
    if not here:
        raise BuildError(f"{built}, and this machine has no GPU: serve it where it was built")
    if gone := [number for number in gpus if number >= len(here)]:
        raise BuildError(f"there is no GPU {gone[0]} here: choose from {_numbered(enumerate(here))}")
    capability = versions["compute_capability"]
    able = {number: gpu for number, gpu in enumerate(here) if gpu.compute_capability == capability}
    others = {n: gpu for n, gpu in enumerate(here) if n not in able and (n in gpus or not gpus)}
    if others:
        choose = f", or serve it with `--gpus {','.join(map(str, able))}`" if able else ""
        raise BuildError(
            f"{built} (compute capability {capability}), and it would run on {_numbered(others.items())}: "
            f"{_AGAIN}{choose}"
        )
    try:
        installed = str(importlib.import_module("tensorrt").__version__)
    except ImportError:
        return
    if installed != versions["tensorrt"]:
        raise BuildError(f"{built}, and here is TensorRT {installed}: {_AGAIN}")


def _numbered(gpus: Iterable[tuple[int, Gpu]]) -> str:
    return ", ".join(f"GPU {number}, {gpu}" for number, gpu in gpus)


def use_timing_cache(config: Any, path: Path) -> None:
    """Gives the builder what earlier builds have timed; a cache that is of no use here is left alone."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def keep_timing_cache(config: Any, path: Path) -> None:
    """Writes what was timed, in one step; a cache that can't be written is no reason to fail."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, bytes(memoryview(cache.serialize())))
    except OSError:
        return


def _module(*, rtx: bool) -> Any:
    try:
        trt = importlib.import_module("tensorrt_rtx" if rtx else "tensorrt")
    except (ImportError, OSError) as error:  # OSError: a library of its own is missing
        if rtx:
            raise BuildError(
                f"TensorRT-RTX can't be loaded ({error}), and nothing else was built: "
                "run this with the Python of .venv"
            ) from None
        raise BuildError(
            f"TensorRT can't be loaded ({error}), and nothing else was built: run "
            "`pip install tensorrt==$TRT_VERSION` inside the serving container, and build there"
        ) from None
    version = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
    if not rtx and version < OLDEST:
        raise BuildError(
            f"TensorRT {trt.__version__} is too old: install {'.'.join(map(str, OLDEST))} or newer "
            "(a newer serving container has it)"
        )
    return trt


def _batches(builder: Any, definition: Any, profile: Profile) -> Any:
    shape = tuple(definition.get_input(0).shape)[1:]
    batches = builder.create_optimization_profile()
    batches.set_shape(PIXELS, (1, *shape), (profile.opt, *shape), (profile.max, *shape))
    return batches


def _first_error(parser: Any) -> str:
    """What the parser stumbled over, in one line: the node's name where it knows one."""
    if parser.num_errors == 0:
        return "it says no reason"
    error = parser.get_error(0)
    said = " ".join(error.desc().split())
    if error.node_name() or error.node_operator():
        return f"the node {error.node_name() or 'without name'} ({error.node_operator()}) fails with: {said}"
    return said


def _logger(trt: Any, messages: list[str]) -> Any:
    """Keeps what TensorRT says of errors; the rest, thousands of lines, is dropped."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                messages.append(" ".join(message.split()))

    return Logger()


def _last(messages: list[str]) -> str:
    return messages[-1] if messages else "it says no reason"


def _monitor(trt: Any, progress: Callable[[str], None]) -> Any:
    """Tells of the builder's larger phases; the build ends at its next step once it is `stopped`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False
            self._depths: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            depth = self._depths[name] = 0 if parent is None else self._depths.get(parent, 0) + 1
            if depth <= 2:
                progress(f"{'  ' * (depth + 2)}{name}")

        def step_complete(self, name: str, step: int) -> bool:
            return not self.stopped

        def phase_finish(self, name: str) -> None:
            return

    return Monitor()


@contextlib.contextmanager
def _stopped_by_interrupt(monitor: Any) -> Iterator[None]:
    """Ctrl-C stops the builder instead of raising: an exception must not cross TensorRT's own code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        monitor.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
