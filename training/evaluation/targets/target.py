"""A target: a figure of one task on some faces, and the bounds that it is to lie within."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.evaluation.targets.figures import Figure
from training.tasks import CATALOGUE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where a figure is to lie, ends included, in its unit (shares in 0..1)."""

    low: float = -math.inf
    high: float = math.inf

    def hold(self, value: float) -> bool:
        """Whether a figure lies within; NaN does not."""
        return self.low <= value <= self.high


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """Which of a set's faces count, by one number of their labels."""

    task: str
    label: str  # of the task; of a value its unit
    low: float = -math.inf
    high: float = math.inf
    absolute: bool = False  # of the number without its sign

    def holds(self, faces: FaceSet) -> NDArray[np.bool_]:
        """[N]: of which faces of a set it holds; of none where they have no such label."""
        column = faces.columns.get(self.task)
        if column is None:
            return np.zeros(len(faces), bool)
        numbers = column[:, CATALOGUE[self.task].labels.index(self.label)].astype(np.float64)
        numbers = np.abs(numbers) if self.absolute else numbers
        return np.asarray((numbers >= self.low) & (numbers <= self.high))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A row of the table."""

    name: str  # for people: "age: bias from 70 on"
    task: str
    sets: tuple[str, ...]  # whose faces are put together
    figure: Figure
    where: tuple[Condition, ...] = ()  # all of them hold for a face that counts
    in_photo: bool = False  # masks are compared in the photo's pixels, where photos are at hand
    faceless: bool = False  # photos without a face are sent instead of a set's: how many are answered
    least: Bounds | None = None  # None: no bound
    goal: Bounds | None = None
    open_least: Bounds | None = None  # for what learns from open sources alone; None: not worse than before

    def chosen(self, faces: FaceSet) -> NDArray[np.int64]:
        """The faces of a set that count."""
        holds = np.ones(len(faces), bool)
        for condition in self.where:
            holds &= condition.holds(faces)
        return np.flatnonzero(holds)
