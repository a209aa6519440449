"""What the client's side of the conversation may want done: the steps that its generators yield."""

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadModel:
    """Read a model's configuration; the outcome is a ModelInfo."""

    model: str
    timeout: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Infer:
    """Ask a model; the outcome is the tensors of its answer by name."""

    model: str
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...]
    timeout: float
    parameters: Mapping[str, int | float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pause:
    """Wait; the outcome is None."""

    seconds: float


Steps = Generator[ReadModel | Infer | Pause, Any, T]
