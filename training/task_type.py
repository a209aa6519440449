"""What is known of one task: the fields of an entry in the catalogue (training.tasks)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from runtime.kinds import kinds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Implication:
    """What a label of another task implies: present, the face has one of `labels`; absent, none of them.

    Of a task of independent labels: present, it has all of `labels`; absent, none of them.
    """

    task: str  # a multilabel task that people labelled
    label: str
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One thing that the network answers about a face.

    A field that belongs to one kind is read by that kind's module in training.kinds alone. Of these fields
    the contract holds name, kind, labels, unit, whether the task is served by default, and which points its
    labels are about; what only training and export need travels in the checkpoint's metadata (`to_json`).
    Raises ValueError for an unknown kind, a label named twice, and labels or numbers that do not fit.
    """

    name: str
    kind: str  # a module of training.kinds, and of runtime.kinds
    labels: tuple[str, ...]  # in the order of the answer's numbers
    unit: str  # of the answer's numbers: "years", "probability", "pixels"
    # Learnable queries. Their number differs from that of the labels where one answer is made of several
    # numbers (head pose: six numbers make a rotation).
    queries: int
    loss: str  # a name in the kind's `losses`; a run may choose another one
    metric: str  # the main metric of an evaluation, a name in the kind's `metrics`
    more_metrics: tuple[str, ...] = ()  # metrics that the kind computes only where they are named
    sensitive: bool = False  # served only where it is named; everything else is served by default
    # Labels are of a crop's very pixels: training mirrors it and changes nothing else of it.
    exact_pixels: bool = False
    mirror: tuple[tuple[str, str], ...] = ()  # labels that change places in a mirrored picture
    # Another task whose labels this task's follow from, and which of its labels is this task's first class
    # ("" for a task with one number, such as an age, which the classes' names divide into ranges).
    derived_from: tuple[str, str] | None = None
    # Weak labels: what other tasks' labels imply of this one, where a run wants them (Run.implied_labels).
    implied_by: tuple[Implication, ...] = ()
    # label -> index of the point that it is about, in the points of the task `aligned_to`
    aligned_labels: Mapping[str, int | None] | None = None
    aligned_to: str = ""
    # The task of the head's rotation, by which a face that looks ahead is assumed to show every point that
    # `aligned_labels` are about. "": nothing is assumed.
    frontal_by: str = ""

    # value: the network's number z stands for center + spread * z in `unit`, so that z is of order one.
    center: float = 0.0
    spread: float = 1.0
    limits: tuple[float, float] = (-math.inf, math.inf)  # value: labels outside are refused
    # value: labels are rounded down to a multiple of this step, so that an interval ends one step after its
    # upper label (whole years: 20 to 29 covers everybody who has not turned 30). 0: labels are exact.
    label_step: float = 0.0
    # value: (lowest, highest, count) of the levels over which a network may answer a distribution, whose mean
    # is the answer (QFaceConfig.distributions). (): none.
    levels: tuple[float, ...] = ()
    # value and rotation: the standard deviation of the noise that training adds to labels, in `unit`, or on
    # the nine entries of a rotation matrix. 0: none.
    label_noise: float = 0.0
    # points: errors are divided by the distance of these two labels. None: by the square root of the area
    # of the labelled points' bounding box.
    error_reference: tuple[str, str] | None = None
    # points: which labels make the five points that a face is aligned by (right eye, left eye, nose tip,
    # right and left corner of the mouth), each the mean of its labels. (): they are not among the labels.
    alignment_points: tuple[tuple[str, ...], ...] = ()
    background: str | None = None  # mask: the label that is no part of a face, which the mean F1 leaves out

    def __post_init__(self) -> None:
        if self.kind not in kinds():
            raise ValueError(
                f"task {self.name!r} has the unknown kind {self.kind!r}: choose from {', '.join(kinds())}, "
                "or add a module of that name to runtime/kinds and to training/kinds"
            )
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"task {self.name!r} names a label twice: make the labels unique")
        pairs = (*self.mirror, self.error_reference or (), *self.alignment_points)
        named = {label for labels in pairs for label in labels} | ({self.background} - {None})
        if unknown := sorted(named - set(self.labels), key=str):
            raise ValueError(f"task {self.name!r} refers to labels that it does not have: {unknown}")
        if self.alignment_points and len(self.alignment_points) != 5:
            raise ValueError(
                f"task {self.name!r} has {len(self.alignment_points)} alignment_points: give all five or none"
            )
        if self.aligned_labels is not None and (
            not self.aligned_to or set(self.aligned_labels) != set(self.labels)
        ):
            raise ValueError(
                f"task {self.name!r} has aligned_labels: give one for each label, and name the task of the "
                "points as aligned_to"
            )
        if foreign := {label for i in self.implied_by for label in i.labels} - set(self.labels):
            raise ValueError(f"task {self.name!r} has implied labels that it does not have: {foreign}")
        if self.levels and not (
            len(self.levels) == 3 and self.levels[0] < self.levels[1] and self.levels[2] >= 2
        ):
            raise ValueError(
                f"task {self.name!r} has levels {self.levels}: give the lowest, the highest and their number"
            )
        if not self.spread > 0 or self.label_step < 0 or self.label_noise < 0:
            raise ValueError(
                f"task {self.name!r} has spread {self.spread}, label_step {self.label_step} and label_noise "
                f"{self.label_noise}: the first must be above 0, the others not below"
            )

    def mirrored_order(self) -> list[int]:
        """For each label, the index of the label that it becomes in a mirrored picture."""
        order = list(range(len(self.labels)))
        for left, right in self.mirror:
            i, j = self.labels.index(left), self.labels.index(right)
            order[i], order[j] = j, i
        return order

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the name and the labels: every field that has no default value."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        kept = {
            field.name: fields[field.name]
            for field in dataclasses.fields(self)
            if field.name not in ("name", "labels") and fields[field.name] != field.default
        }
        # Weak labels are made before training, and nothing of them is needed after it.
        kept.pop("implied_by", None)
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in kept.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], *, name: str, labels: tuple[str, ...]) -> Self:
        """A task as a checkpoint keeps it; ValueError for unknown and for missing fields."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(fields.keys() - known):
            raise ValueError(f"task {name!r} has unknown fields: {', '.join(unknown)}")
        try:
            return cls(name=name, labels=labels, **{key: _tuples(value) for key, value in fields.items()})
        except TypeError as error:
            raise ValueError(f"task {name!r} is incomplete or of wrong types ({error})") from None


def _tuples(value: Any) -> Any:
    """Lists as the tuples that they were before JSON."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
