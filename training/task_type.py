"""What is known of one task: the fields of an entry in the catalogue (training.tasks)."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from runtime.kinds import kinds
from training.task_fields import fits, words

MOST_LEVELS = 10_000  # a network has an output for each


class InvalidTask(ValueError):
    """A task that contradicts itself."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__(name, tuple(faults))
        self.name, self.faults = name, tuple(faults)  # a sentence each

    def __str__(self) -> str:
        return f"task {self.name!r} can't be used: {'; '.join(self.faults)}"


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
    Raises InvalidTask for an unknown kind, a label named twice, and labels or numbers that do not fit.
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
        if faults := self._faults():
            raise InvalidTask(self.name, faults)

    def _faults(self) -> list[str]:
        """What contradicts itself, a sentence each."""
        faults = []
        if self.kind not in kinds():
            faults.append(
                f"there is no kind {self.kind!r}: choose from {', '.join(kinds())}, or add a module of that "
                "name to runtime/kinds and to training/kinds"
            )
        if twice := _twice(self.labels):
            faults.append(f"it names a label twice ({twice[0]!r}): make the labels unique")
        named = {
            "mirror": [label for pair in self.mirror for label in pair],
            "error_reference": self.error_reference or (),
            "alignment_points": [label for labels in self.alignment_points for label in labels],
            "aligned_labels": self.aligned_labels or (),
            "implied_by": [label for implied in self.implied_by for label in implied.labels],
        }
        for field, labels in named.items():
            if unknown := sorted(set(labels) - set(self.labels)):
                faults.append(f"{field} refers to labels that it does not have: {unknown}")
        if self.background not in (None, *self.labels):
            faults.append(f"its background is {self.background!r}, which is none of its labels")
        for field in ("mirror", "error_reference"):
            if twice := _twice(named[field]):
                faults.append(f"{field} names {twice[0]!r} twice: give two labels, and each label once")
        if self.alignment_points and len(self.alignment_points) != 5:
            faults.append(f"it has {len(self.alignment_points)} alignment_points: give all five or none")
        if self.aligned_labels is not None and (
            not self.aligned_to or not set(self.labels) <= set(self.aligned_labels)
        ):
            faults.append(
                "it has aligned_labels: give one for each label, and the task of the points as aligned_to"
            )
        return faults + self._wrong_numbers()

    def _wrong_numbers(self) -> list[str]:
        faults = []
        if self.levels and not (
            len(self.levels) == 3
            and -math.inf < self.levels[0] < self.levels[1] < math.inf
            and 2 <= self.levels[2] <= MOST_LEVELS
            and self.levels[2] == int(self.levels[2])
        ):
            faults.append(
                f"it has levels {list(self.levels)}: give the lowest, the highest and their number, a whole "
                f"one from 2 to {MOST_LEVELS}"
            )
        if not self.limits[0] < self.limits[1]:
            faults.append(f"limits are {list(self.limits)}: give the lower and then the higher one")
        if not -math.inf < self.center < math.inf:
            faults.append(f"center is {self.center}: give a finite number")
        if not 0 < self.spread < math.inf:
            faults.append(f"spread is {self.spread}: give a finite number above 0")
        faults += [
            f"{field} is {value}: give a finite number that is not below 0"
            for field, value in (("label_step", self.label_step), ("label_noise", self.label_noise))
            if not 0 <= value < math.inf
        ]
        return faults

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
        """A task as a checkpoint keeps it; InvalidTask for all that is wrong with its fields."""
        known = {field.name for field in dataclasses.fields(cls)}
        faults = []
        if unknown := sorted(fields.keys() - known):
            faults.append(f"it has unknown fields: {', '.join(unknown)}")
        wrong = wrong_types(fields)
        faults += wrong.values()
        kept = {key: _tuples(value) for key, value in fields.items() if key in known - wrong.keys()}
        try:
            task = cls(name=name, labels=labels, **kept)
        except InvalidTask as error:
            faults += error.faults
        except TypeError as error:
            faults = faults or [f"it is incomplete ({error})"]
        if faults:
            raise InvalidTask(name, faults)
        return task


def wrong_types(fields: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a task whose values, as TOML or JSON have them, are of another type, with a sentence."""
    return {
        field.name: f"{field.name} is {fields[field.name]!r}: write {words(field.type)}"
        for field in dataclasses.fields(Task)
        if field.name in fields and not fits(field.type, fields[field.name])
    }


def _twice(labels: Iterable[str]) -> list[str]:
    return [label for label, count in Counter(labels).items() if count > 1]


def _tuples(value: Any) -> Any:
    """Lists as the tuples that they were before JSON."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
