"""Engines: a network in the form that executes it, one module a runtime.

Each module has `build(network, *, ...) -> Engine`. What is asked of an Engine afterwards (is it what it
should be, does it answer right, how fast) is the same for all of them.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Infer = Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that multiplies (convolution, matrix product, attention), as the engine really has it."""

    name: str  # as the runtime spells it; mostly the ONNX nodes it was made of
    kind: str
    precision: str  # fp32, fp16, bf16, int8 or fp8: what it multiplies in


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """A built engine, open for questions."""

    files: Mapping[str, Path]  # name in face_engine's version directory -> file
    layers: tuple[Layer, ...]
    layers_from: str  # where the layers were read: "executed graph", "parsed network", "engine inspector"
    versions: Mapping[str, str]  # of the runtime, and of CUDA, the driver and the GPU where there is one
    settings: Mapping[str, Any]  # precision hint, threads, optimisation profile ...: into the manifest
    # Answers for pixels [B, S, S, 3] uint8; None where this machine can't run the engine.
    infer: Infer | None
    needs: str = ""  # what this machine lacks to run it: "a GPU"
