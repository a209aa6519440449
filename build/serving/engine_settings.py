"""What engines are served: their files' names, their batches and how each is set up."""

import dataclasses

from build.backends.targets import TARGETS
from build.errors import BuildError

MAX_BATCH = 32
JUDGED_BATCHES = (1, 3, MAX_BATCH)  # at which a network's and an engine's answers are compared
ENGINE_FILE = "model.onnx"
IR_FILE = "model.xml"  # OpenVINO's own format, with model.bin beside it
PLAN_FILE = "model.plan"
DETECTOR_FILE = "detector.tflite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The batches that a TensorRT plan takes: 1 to `max`, and it is at its best at `opt`."""

    opt: int = 8
    max: int = MAX_BATCH

    def __post_init__(self) -> None:
        if self.max < MAX_BATCH:
            raise BuildError(
                f"an engine for batches of up to {self.max} can't serve the {MAX_BATCH} faces that are put "
                f"together: build it with --max-batch {MAX_BATCH} or more"
            )
        if not 1 <= self.opt <= self.max:
            raise BuildError(
                f"a profile can't be at its best at a batch of {self.opt}: choose 1 to {self.max}"
            )

    @property
    def served(self) -> tuple[int, ...]:
        """The batches that a server prepares for."""
        return tuple(sorted({1, min(self.opt, MAX_BATCH), MAX_BATCH}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What runs the network, and how."""

    target: str = "openvino"  # one of build.backends.targets that Triton can serve
    precision: str = "fp32"
    threads: int = 0  # on a CPU; 0: every core
    streams: int = 1  # OpenVINO's, over which a batch is divided
    profile: Profile = Profile()  # TensorRT's
    instances: int = 1  # TensorRT's, on each GPU
    gpus: tuple[int, ...] = ()  # TensorRT's: the numbers of those to use; empty: every GPU

    def __post_init__(self) -> None:
        target = TARGETS.get(self.target)
        if target is None or not target.served:
            served = ", ".join(name for name, other in TARGETS.items() if other.served)
            raise BuildError(f"Triton can't serve the target {self.target!r}: choose from {served}")
        if self.precision not in target.precisions:
            raise BuildError(
                f"{target.title} is not built in {self.precision!r}: "
                f"choose from {', '.join(target.precisions)}"
            )
        if self.threads < 0:
            raise BuildError(f"{self.threads} threads can't run: choose 1 or more, or 0 for every core")
        if self.streams < 1 or (self.streams > 1 and self.target != "openvino"):
            raise BuildError(
                f"{target.title} can't run {self.streams} streams: choose 1"
                f"{' or more' if self.target == 'openvino' else ''}"
            )
        if self.target != "tensorrt" and (self.instances != 1 or self.gpus):
            raise BuildError(
                f"{target.title} runs once and on no GPU: instances and GPUs are chosen for tensorrt only"
            )
        if self.instances < 1:
            raise BuildError(f"{self.instances} instances answer nothing: choose 1 or more")
        if any(gpu < 0 for gpu in self.gpus) or len(set(self.gpus)) != len(self.gpus):
            raise BuildError(
                f"the GPUs {list(self.gpus)} can't be meant: name each once, by its number from 0"
            )

    def on_cpu(self) -> "EngineSettings":
        """What runs where a server is started for the CPU: beside a GPU's engine the exported network.

        The file ENGINE_FILE then must be that network.
        """
        return self if self.target != "tensorrt" else EngineSettings(threads=self.threads)

    @property
    def file(self) -> str:
        """The network's name in the version directory of the CPU's engine."""
        return IR_FILE if (self.target, self.precision) == ("openvino", "int8") else ENGINE_FILE

    def parameters(self) -> dict[str, str]:
        """What runs on the CPU, as parameters of a served model."""
        return {
            "runtime": self.target,
            "file": self.file,
            "precision": self.precision,
            "threads": str(self.threads),
            "streams": str(self.streams),
        }
