"""Which faces are worth a second look, and why."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

from ...contract import Contract
from ...kinds._distributions import Doubt
from ...results import Face

T = TypeVar("T")

DOUBTFUL = 0.7  # from this score on a face is shown as one to look at
TOP_REASONS = 3
_SURE_SCORE = 0.9  # of the detector: above it a face is hardly ever something else
_LEAST_SCORE = 0.5  # that the detector counts as a face unless a caller says otherwise
_GOOD_QUALITY = 0.7  # a face of less is mentioned
_SMALL = 0.5  # of the crop's side that the network sees: smaller faces are enlarged more than twofold


def doubts(face: Face, contract: Contract | None) -> list[Doubt]:
    """Why a face may be answered wrongly, the strongest reason first; all are scored from 0 to 1."""
    found = [_of_detector(face), _of_quality(face)]
    if contract is not None:
        found.append(_of_size(face, contract))
        rated_by = None if contract.quality is None else contract.quality.task
        tasks = {task.name: task for task in contract.tasks if task.name != rated_by}
        found += [answer.doubt(tasks[name]) for name, answer in face.answers.items() if name in tasks]
    return sorted((doubt for doubt in found if doubt is not None), key=lambda doubt: -doubt.score)


def score(found: list[Doubt]) -> float:
    """A face's score: its strongest reason's."""
    return found[0].score if found else 0.0


def _of_detector(face: Face) -> Doubt | None:
    score = min(1.0, (_SURE_SCORE - face.score) / (_SURE_SCORE - _LEAST_SCORE))
    if score <= 0:
        return None
    return Doubt(score=score, reason=f"perhaps no face: the detector's score is {face.score:.2f}")


def _of_quality(face: Face) -> Doubt | None:
    if face.quality is None or face.quality >= _GOOD_QUALITY:
        return None
    reason = f"hard to judge (blurred, dark, covered, turned away): its quality is {face.quality:.2f}"
    return Doubt(score=1 - face.quality, reason=reason)


def _of_size(face: Face, contract: Contract) -> Doubt | None:
    x0, y0, x1, y1 = face.box
    side, small = max(x1 - x0, y1 - y0), contract.input_size * _SMALL
    if side >= small:
        return None
    reason = f"a small face: {side:.0f} pixels, where the network looks at {contract.input_size}"
    return Doubt(score=1 - side / small, reason=reason)


class Ranked(Generic[T]):
    """The items of the highest scores, no more than `most` of them; of equal ones the earlier."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, T]] = []
        self._taken = 0

    def wants(self, score: float) -> bool:
        """Whether an item of this score would be kept now."""
        return len(self._heap) < self._most or (self._most > 0 and score > self._heap[0][0])

    def take(self, score: float, item: T) -> None:
        """One more item, which goes, or another one, where there are too many."""
        entry = (score, -self._taken, item)  # no two have one number: items are never compared
        self._taken += 1
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif self._most:
            heapq.heappushpop(self._heap, entry)

    def __iter__(self) -> Iterator[T]:
        """The highest score first."""
        return (item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True))

    def __len__(self) -> int:
        return len(self._heap)
