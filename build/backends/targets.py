"""What an engine can be built for, and at which precisions."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from build.errors import BuildError

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Below this many pictures a quantiser's ranges say more about the pictures than about faces.
CALIBRATION_FACES = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A runtime that executes the network."""

    name: str
    title: str  # as people call it
    precisions: tuple[Precision, ...]
    default: Precision  # where none is named
    needs_gpu: bool  # to build; without one it is refused, and nothing else is built instead
    served: bool  # whether Triton can serve what is built


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="openvino",
            title="OpenVINO on the CPU",
            precisions=("fp32", "bf16", "int8"),
            default="fp32",
            needs_gpu=False,
            served=True,
        ),
        Target(
            name="onnxruntime",
            title="ONNX Runtime",
            precisions=("fp32", "fp16"),
            default="fp32",
            needs_gpu=False,
            served=True,
        ),
        Target(
            name="tensorrt",
            title="TensorRT on the GPU",
            precisions=PRECISIONS,
            default="fp16",
            needs_gpu=True,
            served=True,
        ),
        # Triton has no backend for it: it proves on any machine that TensorRT's parser and builder take
        # the network.
        Target(
            name="tensorrt-rtx",
            title="TensorRT-RTX",
            precisions=PRECISIONS,
            default="fp16",
            needs_gpu=False,
            served=False,
        ),
    )
}


def target_of(name: str, precision: str) -> Target:
    """The target of this name, if it knows the precision; else BuildError says what there is."""
    if name not in TARGETS:
        raise BuildError(f"the target {name!r} is unknown: choose from {', '.join(TARGETS)}")
    target = TARGETS[name]
    if precision not in target.precisions:
        raise BuildError(
            f"{target.title} is not built in {precision!r} here: choose from {', '.join(target.precisions)}"
        )
    if target.needs_gpu and not has_gpu():
        raise BuildError(
            f"the target {name} needs an NVIDIA GPU, and this machine has none: build it on the server that "
            "will serve it, or choose --target openvino for this CPU"
        )
    return target


def has_gpu() -> bool:
    """Whether an NVIDIA driver shows a GPU to this process."""
    return Path("/dev/nvidiactl").exists() and any(Path("/dev").glob("nvidia[0-9]*"))
