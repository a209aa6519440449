"""What the client's side of the conversation may want done: the steps that its generators yield."""

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")

# What goes beside a request, by name: a trace's header. A transport that calls nobody may leave it.
Metadata = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadModel:
    """Read a model's configuration; the outcome is a ModelInfo."""

    model: str
    timeout: float
    metadata: Metadata = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Infer:
    """Ask a model; the outcome is a Reply."""

    model: str
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...]
    timeout: float
    parameters: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    priority: int | None = None  # Triton's: 1 goes first; 0 and None: the server's default
    metadata: Metadata = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pause:
    """Wait; the outcome is None."""

    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to an `Infer`: its tensors by name, read-only, and what the server says of them."""

    tensors: Mapping[str, NDArray[Any]]
    model: str = ""  # that answered, by its own name; "": not stated
    version: str = ""
    # Milliseconds by name, as the server measured this request ("total", "queue", ...); empty: none stated.
    timings: Mapping[str, float] = dataclasses.field(default_factory=dict)


Steps = Generator[ReadModel | Infer | Pause, Any, T]
