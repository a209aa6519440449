"""The interface of a backend of the build: one runtime that executes the network.

Every other module of this package defines `BACKEND`, an instance of a class below `Backend`. The registry in
`build.backends` finds it; no list names it. Command lines, stages and the served model's configuration use
this interface only.
"""

import abc
import dataclasses
import importlib.metadata
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from build import machine
from build.errors import BuildError
from build.files import link_or_copy
from build.lowering.precision_exclusions import ExcludedNode
from build.manifest import package_versions
from build.precisions import Precision
from build.serving.batching_and_queues import MAX_BATCH, check_max_batch
from build.serving.engine_settings import NETWORK_FILE, CpuSettings, Device, EngineSettings
from runtime.contract import Contract

Infer = Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that multiplies (convolution, matrix product, attention), as the engine really has it."""

    name: str  # as the runtime spells it; mostly the ONNX nodes it was made of
    kind: str
    precision: str  # fp32, fp16, bf16, int8 or fp8, in which it multiplies; or "unknown"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """A built engine: its files, its layers, and its answers where this machine can run it."""

    files: Mapping[str, Path]  # name in face_engine's version directory -> file
    layers: tuple[Layer, ...]
    layers_from: str  # where the layers were read: "executed graph", "parsed network", "engine inspector"
    versions: Mapping[str, str]  # of the runtime, and of CUDA, the driver and the GPU where there is one
    settings: Mapping[str, Any]  # precision hint, threads, optimisation profile ...: into the manifest
    # Answers for pixels [B, S, S, 3] uint8; None where this machine can't run the engine.
    infer: Infer | None
    needs: str = ""  # what this machine lacks to run it: "a GPU"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoweringRequest:
    """A network that is to be lowered, and what shows how low it may go."""

    network: Path  # as it was exported, in ONNX
    precision: Precision
    contract: Contract
    faces: NDArray[np.uint8]  # real crops [N, S, S, 3], which show how large values become
    calibration: NDArray[np.uint8] | None  # [N, S, S, 3]: what a quantised precision is fitted to; else None
    directory: Path  # of the results; empty
    log: Log

    def unchanged(self) -> "LoweredNetwork":
        """The network as it was exported, for a backend that makes the precision itself."""
        path = self.directory / NETWORK_FILE
        shutil.copyfile(self.network, path)
        return LoweredNetwork(network=path, files={NETWORK_FILE: path})


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoweredNetwork:
    """A network at a precision, in the form that a backend reads."""

    network: Path  # model.onnx, or model.xml with model.bin beside it
    files: Mapping[str, Path]
    excluded: tuple[ExcludedNode, ...] = ()  # nodes left at a higher precision
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # nodes, versions, faces ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How an engine is built. A backend uses what concerns it."""

    threads: int = 0  # of a CPU engine; 0: every core
    max_batch: int = MAX_BATCH  # the largest batch of an optimisation profile
    timing_cache: Path | None = None  # what earlier builds timed; read and written

    def __post_init__(self) -> None:
        check_max_batch(self.max_batch)
        if self.threads < 0:
            raise BuildError(f"{self.threads} threads can't run: choose 1 or more, or 0 for every core")


class Backend(abc.ABC):
    """A runtime that executes the network."""

    name: ClassVar[str]  # in --target, in manifests and in directories
    title: ClassVar[str]  # as people call it
    precisions: ClassVar[tuple[Precision, ...]]
    default_precision: ClassVar[Precision]
    device: ClassVar[Device]  # on which its engines run
    needs_gpu: ClassVar[bool] = False  # to build; without one nothing else is built instead
    servable: ClassVar[bool] = True  # whether Triton can serve what is built
    packages: ClassVar[tuple[str, ...]] = ()  # distributions whose installed version decides the answers
    is_default: ClassVar[bool] = False  # where no backend is named, on a machine with its device

    @property
    def torch_device(self) -> str:
        """Where torch runs when the engine's speed is compared with it."""
        return "cuda" if self.device == "gpu" else "cpu"

    def precision_is_in_file(self, precision: Precision) -> bool:
        """Whether the engine's file has its weights at this precision, so that its size can prove it."""
        return True

    def check_precision(self, precision: str) -> None:
        """Raises BuildError for a precision that its engines don't have."""
        if precision not in self.precisions:
            raise BuildError(
                f"{self.title} is not built in {precision!r} here: choose from {', '.join(self.precisions)}"
            )

    def check_available(self, precision: str) -> None:
        """Raises BuildError where no engine of this precision can be built here."""
        self.check_precision(precision)
        if self.needs_gpu and not machine.has_gpu():
            from build.backends import default_backend

            raise BuildError(
                f"the target {self.name} needs an NVIDIA GPU, and this machine has none: build it on the "
                f"server that will serve it, or choose --target {default_backend('cpu').name} for this CPU"
            )

    @abc.abstractmethod
    def lower(self, request: LoweringRequest) -> LoweredNetwork:
        """Writes the exported network at a precision, as this backend reads it.

        The network's metadata (contract, config, card) is kept. Raises BuildError.
        """

    @abc.abstractmethod
    def build(
        self,
        lowered: LoweredNetwork,
        *,
        precision: Precision,
        directory: Path,
        options: BuildOptions,
        log: Log,
    ) -> Engine:
        """Builds the engine, with its files in `directory`, from what `lower` wrote.

        Raises BuildError where the runtime refuses the network, or is missing.
        """

    def runtime_fault(self, manifest: Mapping[str, Any]) -> str | None:
        """How the installed runtime differs from the one that the engine was measured with; None where not.

        `manifest` is the engine's. An engine that was not measured has nothing to differ from.
        """
        for package in self.packages:
            if fault := _package_fault(package, manifest):
                return fault
        return None

    def machine_key(self) -> dict[str, str]:
        """What of this machine decides whether an engine runs on it. BuildError where that can't be found."""
        return package_versions(*self.packages) if self.packages else {}

    def check_machine(  # noqa: B027
        self, directory: Path, manifest: Mapping[str, Any], *, gpus: Sequence[int]
    ) -> None:
        """Raises BuildError where the engine in `directory` can't run on this machine's GPUs.

        `gpus` are the numbers of those that will serve it (empty: every one).
        """

    @abc.abstractmethod
    def settings(
        self,
        *,
        precision: Precision | None = None,
        built_with: Mapping[str, Any] | None = None,
        instances: int | None = None,
        gpus: Sequence[int] = (),
    ) -> EngineSettings:
        """How an engine is served, at the default precision where none is named.

        `built_with` are the settings in the engine's manifest (Engine.settings). On GPUs it is loaded
        `instances` times (None: as the host's settings have it) on each of `gpus` (empty: every one). Raises
        BuildError for what can't be served.
        """


class CpuBackend(Backend):
    """A backend whose engines run on the CPU, served by Triton's Python backend."""

    device = "cpu"
    runtime: ClassVar[str]  # the NAME of the module of `runtime.engines` that serves it
    takes_streams: ClassVar[bool] = False  # whether it can divide a batch over several
    # What libraries of the runtime read from the environment that decides which kernels run.
    kernel_variables: ClassVar[tuple[str, ...]] = ()
    # The processor's instructions for a precision lower than the default, best first, as Linux spells them.
    fast_instructions: ClassVar[tuple[str, ...]] = ()

    def fast_precision(self) -> tuple[Precision, str] | None:
        """The precision in which this processor runs the exported file fastest, and its instruction for it.

        None where it has none of `fast_instructions`.
        """
        return None

    @abc.abstractmethod
    def open_engine(self, network: Path, *, precision: Precision, threads: int) -> Engine:
        """The network, opened as the server will open it; `threads` 0 is every core.

        Raises BuildError where the runtime refuses it.
        """

    def build(
        self,
        lowered: LoweredNetwork,
        *,
        precision: Precision,
        directory: Path,
        options: BuildOptions,
        log: Log,
    ) -> Engine:
        """The lowered network's own files: on a CPU the runtime compiles when it opens them."""
        for name, path in lowered.files.items():
            link_or_copy(path, directory / name)
        network = directory / lowered.network.name
        return self.open_engine(network, precision=precision, threads=options.threads)

    def served_file(self, precision: Precision) -> str:
        """The network's name in the version directory."""
        return NETWORK_FILE

    def settings(
        self,
        *,
        precision: Precision | None = None,
        built_with: Mapping[str, Any] | None = None,
        instances: int | None = None,
        gpus: Sequence[int] = (),
    ) -> CpuSettings:
        """With the threads that it was built for; those of every core follow the host's settings."""
        if instances is not None or gpus:
            raise BuildError(
                f"{self.title} runs on no GPU: --instances and --gpus are for an engine on a GPU only; "
                "name a file with `[engine] instances = N` with --settings"
            )
        built_with, precision = built_with or {}, precision or self.default_precision
        # Every engine's manifest has the streams that it was measured with: 1 is nobody's choice.
        streams = built_with.get("streams", 1)
        if streams < 1 or (streams > 1 and not self.takes_streams):
            more = " or more" if self.takes_streams else ""
            raise BuildError(f"{self.title} can't run {streams} streams: choose 1{more}")
        return CpuSettings(
            backend=self,
            precision=precision,
            threads=built_with.get("threads", 0),
            runtime=self.runtime,
            file=self.served_file(precision),
            streams=(None if streams == 1 else streams) if self.takes_streams else 1,
        )


def _package_fault(package: str, manifest: Mapping[str, Any]) -> str | None:
    measured_with = manifest.get("versions", {}).get(package)
    if measured_with is None:
        return None
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"{package} is not installed here"
    if installed == measured_with:
        return None
    return f"it was measured with {package} {measured_with}, and here is {installed}"
