"""What every kind of answer defines for the server and the build, and what kinds share."""

import abc
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry

# The largest difference allowed in fp32, in a head's own numbers.
FULL_PRECISION = 1e-4

Tensors = Mapping[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadTensor:
    """The network's output for a task: its type as the V2 protocol spells it, its shape without the batch."""

    datatype: str
    dims: tuple[int | None, ...]  # None: the graph decides

    def matches(self, datatype: str, dims: tuple[int, ...]) -> bool:
        """Whether an output of this type and shape is such a head."""
        return (
            datatype == self.datatype
            and len(dims) == len(self.dims)
            and all(expected in (None, size) for expected, size in zip(self.dims, dims, strict=True))
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerTensor:
    """A tensor of an answer: its type as the V2 protocol spells it, its shape without the faces."""

    name: str
    datatype: str
    dims: tuple[int, ...]  # -1: the size varies
    on_request: bool = False  # computed only where a request names it


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoGeometry:
    """Where B faces lie in their photos, and which tensors are requested of their answers."""

    maps: NDArray[np.float32] | None = None  # [B, 2, 3], crop's pixels -> photo's pixels
    sizes: NDArray[Any] | None = None  # [B, 2], the photos' widths and heights; None: they end nowhere
    requested: Collection[str] | None = None  # names of tensors; None: all but those made on request

    def is_requested(self, tensor: AnswerTensor) -> bool:
        """Whether this tensor has to be computed."""
        return not tensor.on_request if self.requested is None else tensor.name in self.requested


class HeadKind(abc.ABC):
    """What an output of the network is: how answers are made of it, and how far two of it may lie apart."""

    needs_crop_to_photo: bool = False  # its answers lie in the photo's frame
    needs_photo_size: bool = False  # its answers mark where the photo ends
    # The largest differences that an engine may have from torch. Full precision: in the head's own numbers.
    # Lower ones: in the units of `difference(..., in_units=True)`.
    full_precision_tolerance: float = FULL_PRECISION
    low_precision_tolerance: float

    @abc.abstractmethod
    def head(self, count: int) -> HeadTensor:
        """The network's output of this kind for a task with `count` labels."""

    @abc.abstractmethod
    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        """The tensors that are made of it in a task's answer."""

    @abc.abstractmethod
    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        """The answer's tensors by their names, for a head [B, ...]; those not requested may be left out.

        `photo.maps` is given where `needs_crop_to_photo` is true.
        """

    def difference(self, expected: NDArray[Any], answered: NDArray[Any], *, in_units: bool) -> float:
        """How far two heads [B, ...] of one shape lie apart at most; infinitely where one is not a number.

        `in_units`: in the unit that people read, where that is another than the head's own numbers.
        """
        apart = np.abs(expected.astype(np.float64) - answered)
        return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max(initial=0.0))

    def tolerance(self, precision: str) -> float:
        """The largest difference allowed at a precision."""
        return self.full_precision_tolerance if precision == "fp32" else self.low_precision_tolerance

    def unit_text(self, entry: TaskEntry, *, in_units: bool = True) -> str:
        """What stands behind a difference that is shown to people."""
        return ""


class Kind(HeadKind):
    """A kind of answer. One subclass and instance a module; `runtime.kinds` finds them."""

    name: str
    states_probabilities: bool = False  # its head [B, K] is a probability for each label
    error: HeadKind | None = None  # the head beside, of tasks whose entry has an `error`; None: never one

    def check(self, entry: TaskEntry) -> None:
        """Raises ValueError where the entry lacks something that this kind needs to answer."""


def text_tensor(texts: Sequence[str]) -> NDArray[np.object_]:
    """A BYTES tensor [len(texts), 1]."""
    return bytes_tensor([text.encode() for text in texts])


def bytes_tensor(rows: Sequence[bytes]) -> NDArray[np.object_]:
    """A BYTES tensor [len(rows), 1]."""
    tensor = np.empty((len(rows), 1), dtype=np.object_)
    tensor[:, 0] = rows
    return tensor
