"""Sets drawn in balance: what is rare among a set's faces comes round more often.

A label's frequency in a set is an accident of how it was collected, and a network learns it with the
faces. Drawing by a power of the inverse frequency undoes part of it (1: all of it; 1/2 is a usual
compromise, as with 1 the few faces of a rare class are learned by heart).
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.tasks import CATALOGUE

_MOST = 12.0  # times as often as the average face: a handful of faces would be learned by heart


@dataclasses.dataclass(frozen=True, kw_only=True)
class Balance:
    """By which task's labels a set is balanced, and how much."""

    task: str
    power: float = 0.5  # of the inverse frequency of a face's stratum

    @classmethod
    def from_text(cls, text: str) -> Self:
        """`age` or `age:0.7`, as --set sources.NAME.balance takes them."""
        task, _, power = text.strip().partition(":")
        try:
            return cls(task=task, power=float(power)) if power else cls(task=task)
        except ValueError as error:
            raise ValueError(f"balance {text.strip()!r} is no TASK or TASK:POWER ({error})") from None

    def __post_init__(self) -> None:
        if self.task not in CATALOGUE:
            raise ValueError(f"balance names {self.task!r}, which no task is called")
        if not 0 < self.power <= 1:
            raise ValueError(f"balance: power = {self.power} must be above 0 and not above 1")


def draw_weights(faces: FaceSet, balances: Sequence[Balance]) -> NDArray[np.float64]:
    """How often each face is drawn [N], 1 on average; of several balances the product.

    ValueError for a set that has no such labels.
    """
    weights = np.prod([_weights(faces, balance) for balance in balances], axis=0)
    weights = np.minimum(weights, _MOST)
    return np.asarray(weights / weights.mean(), np.float64)


def _weights(faces: FaceSet, balance: Balance) -> NDArray[np.float64]:
    task = CATALOGUE[balance.task]
    column = faces.columns.get(task.name)
    strata = None if column is None else kind_of(task).strata(task, column)
    if strata is None or not (strata >= 0).any():
        raise ValueError(
            f"{faces.name} can't be balanced by {task.name}: it has no such labels, or they make no strata"
        )
    known = strata >= 0
    _, of, counts = np.unique(strata[known], return_inverse=True, return_counts=True)
    weights = np.ones(len(faces))
    weights[known] = (counts[of] / known.sum()) ** -balance.power
    # Faces without the label come round as the average of those that have it.
    weights[known] /= weights[known].mean()
    return weights


def weighted_pass(
    order: NDArray[np.int64], weights: NDArray[np.float64], *, rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many draws as there are faces in `order` [N], each about as often as its weight, shuffled.

    Systematic resampling: a face of weight 2.3 is drawn two or three times.
    """
    ends = np.cumsum(weights[order])
    positions = (np.arange(len(order)) + rng.random()) * (ends[-1] / len(order))
    drawn = order[np.minimum(np.searchsorted(ends, positions, side="right"), len(order) - 1)]
    return np.asarray(rng.permutation(drawn), np.int64)
