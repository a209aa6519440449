"""How a built engine is served: its settings, and what they make of the served model's configuration."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from build.errors import BuildError
from build.precisions import Precision
from build.serving.pbtxt import CudaGraph

if TYPE_CHECKING:
    from build.backends.base import Backend
    from build.serving.host_settings import HostSettings

Device = Literal["cpu", "gpu"]
NETWORK_FILE = "model.onnx"  # an ONNX network in the version directory of a served model


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What the engine decides of its served model's config.pbtxt; see `build.serving.pbtxt.Model`."""

    filename: str  # of the model in its version directory
    backend: str = "python"
    platform: str = ""
    instance_kind: str = "KIND_CPU"
    instances: int = 1
    gpus: tuple[int, ...] = ()
    warmup: tuple[int, ...] = ()
    cuda_graphs: tuple[CudaGraph, ...] = ()
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings(abc.ABC):
    """How a built engine is served. Each backend has its own class of settings, validated at construction."""

    backend: "Backend"
    precision: Precision
    # Of what runs on the CPU, this engine and the detector beside it; 0: as the host's settings have them.
    threads: int = 0

    def __post_init__(self) -> None:
        if self.precision not in self.backend.precisions:
            raise BuildError(
                f"{self.backend.title} is not built in {self.precision!r}: "
                f"choose from {', '.join(self.backend.precisions)}"
            )
        if self.threads < 0:
            raise BuildError(f"{self.threads} threads can't run: choose 1 or more, or 0 for every core")

    @abc.abstractmethod
    def config(self, host: "HostSettings") -> EngineConfig:
        """Its part of the served model's configuration on a host with these settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuSettings(EngineSettings):
    """An engine that Triton's Python backend runs on the CPU, through a module of `runtime.engines`."""

    runtime: str  # the module's NAME
    file: str = NETWORK_FILE  # the network in the version directory
    streams: int | None = None  # over which a batch is divided; None: as the host's settings have it

    def config(self, host: "HostSettings") -> EngineConfig:
        """A served model.py, with what `runtime.engines.load_engine` reads as parameters."""
        settings = host.engine_on("cpu").with_threads(self.threads)
        streams = settings.streams if self.streams is None else self.streams
        return EngineConfig(
            filename="model.py",
            instances=settings.instances,
            warmup=(1,),  # a CPU's first answer takes longest; a whole batch would only hold up the start
            parameters={
                "runtime": self.runtime,
                "file": self.file,
                "precision": self.precision,
                "threads": str(settings.threads),
                "streams": str(streams),
            },
        )
