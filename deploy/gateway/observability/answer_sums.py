"""AnswerSums: what answers are on average and how far they vary, as sums over many faces.

Sums add over replicas and over time, so that Prometheus computes means and standard deviations of them. They
are handed on in blocks of at least `BLOCK_FACES` faces: between two looks at the page lie that many, and no
single answer can be read off it. At most one answer each `EVERY_SECONDS` is read, whatever the load.
"""

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front import wire
from runtime.contract import Contract
from runtime.kinds import kind_of

BLOCK_FACES = 50
EVERY_SECONDS = 0.1
_FP32 = "FP32"
_MOST_SETS = 64  # of tensors that requests ask for together, gathered at once

_OUTPUTS = v2.ModelInferResponse.DESCRIPTOR.fields_by_name["outputs"].number
_RAW = v2.ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchedTensor:
    """A tensor of answers with a number for each label of a task."""

    contract: str  # its hash
    task: str
    labels: tuple[str, ...]


Watched = Mapping[str, WatchedTensor]  # by the tensor's name


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerBlock:
    """Sums over the same faces, of which some were left out whose answers were not all numbers."""

    tensors: tuple[WatchedTensor, ...]
    faces: int
    not_finite: int
    # For each label of each tensor in turn: the sum of what is above 0, of what is below 0, and of squares.
    positive: tuple[float, ...]
    negative: tuple[float, ...]
    squares: tuple[float, ...]


@functools.lru_cache(maxsize=16)  # most models of a repository carry the same
def watched_tensors(contract: str) -> Watched:
    """Of a contract as JSON: the tensors of its answers that are FP32 and have one number for each label.

    Those are probabilities, values and angles. Positions have two numbers for a label, and are the photo's
    rather than the faces'; expected errors are left out, as they have the labels of their tasks. None of a
    contract that can't be read, which is logged.
    """
    try:
        parsed = Contract.parse(contract)
        return {
            tensor.name: WatchedTensor(contract=parsed.hash, task=entry.name, labels=entry.labels)
            for entry in parsed.tasks
            for tensor in kind_of(entry).answer_tensors(entry)
            if tensor.datatype == _FP32 and tensor.dims == (len(entry.labels),)
        }
    except ValueError as error:
        _LOG.warning("answers are not watched, as the contract is unreadable: %s", error)
        return {}


class AnswerSums:
    """Gathers answers, and hands on their sums. `publish` gets each block; `clock` counts seconds."""

    def __init__(
        self, publish: Callable[[AnswerBlock], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._next = -np.inf
        self._gathered: dict[tuple[WatchedTensor, ...], _Gathered] = {}

    def take(self, answer: bytes, watched: Watched) -> None:
        """Adds a serialised ModelInferResponse, unless one was read just before. Never raises."""
        if not watched or (now := self._clock()) < self._next:
            return
        self._next = now + EVERY_SECONDS
        try:
            found = watched_values(answer, watched)
        except (ValueError, DecodeError):
            return  # whoever asked for it sees that; here it is not worth a line for each
        if not found:
            return
        tensors = tuple(watched[name] for name in found)
        gathered = self._gathered.get(tensors)
        if gathered is None:
            if len(self._gathered) >= _MOST_SETS:
                self._gathered.clear()
            gathered = self._gathered[tensors] = _Gathered(sum(len(tensor.labels) for tensor in tensors))
        gathered.add(np.concatenate(list(found.values()), axis=1))
        if gathered.faces >= BLOCK_FACES:
            self._publish(gathered.block(tensors))
            del self._gathered[tensors]


class _Gathered:
    """Sums of one set of tensors."""

    def __init__(self, width: int) -> None:
        self.faces = 0
        self._not_finite = 0
        self._sums = np.zeros((3, width))

    def add(self, values: NDArray[np.float32]) -> None:
        """Numbers [N, width] of N faces."""
        finite = np.isfinite(values)
        if not finite.all():
            whole = finite.all(axis=1)
            self._not_finite += int(len(values) - whole.sum())
            values = values[whole]
        numbers = values.astype(np.float64)
        above = np.maximum(numbers, 0.0)
        sums = np.stack([above.sum(axis=0), (above - numbers).sum(axis=0), (numbers * numbers).sum(axis=0)])
        self._sums += sums
        self.faces += len(numbers)

    def block(self, tensors: tuple[WatchedTensor, ...]) -> AnswerBlock:
        positive, negative, squares = (tuple(row) for row in self._sums.tolist())
        return AnswerBlock(
            tensors=tensors,
            faces=self.faces,
            not_finite=self._not_finite,
            positive=positive,
            negative=negative,
            squares=squares,
        )


def watched_values(answer: bytes, watched: Watched) -> dict[str, NDArray[np.float32]]:
    """The watched tensors of a serialised ModelInferResponse, [N, labels] each, all for the same N faces.

    ValueError or DecodeError where it can't be read, and where tensors are of another size than the contract
    has it.
    """
    outputs: list[str] = []
    contents: list[tuple[int, int]] = []
    for number, kind, _, start, end in wire.fields(answer):
        if kind != wire.LENGTH_DELIMITED:
            continue
        if number == _RAW:
            contents.append((start, end))
        elif number == _OUTPUTS:
            outputs.append(v2.ModelInferResponse.InferOutputTensor.FromString(answer[start:end]).name)
    if len(contents) != len(outputs):
        raise ValueError("the answer has outputs without contents")
    view = memoryview(answer)
    return {
        name: np.frombuffer(view[start:end], "<f4").reshape(-1, len(watched[name].labels))
        for name, (start, end) in zip(outputs, contents, strict=True)
        if name in watched
    }
