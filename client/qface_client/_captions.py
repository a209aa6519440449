"""What is written beside a face, by kind: no task and no label is spelled out here."""

import dataclasses

import numpy as np

from .results import OUTSIDE, Classification, Face, Mask, MultiLabel, Points, Rotation, Value, Visibility

TOP_LABELS = 4  # of a multilabel task in a full caption
COMPACT_LINES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a caption: a name on the left, an answer on the right, and its share as a bar."""

    name: str
    text: str
    share: float | None = None  # in [0, 1]


def full(face: Face) -> list[Row]:
    """A row or several for each answer that is read rather than looked at."""
    rows: list[Row] = []
    for task, answer in face.answers.items():
        name = plain(task)
        if isinstance(answer, Classification):
            rows.append(
                Row(name=name, text=_share(answer.label, answer.probability), share=answer.probability)
            )
        elif isinstance(answer, Visibility):
            rows.append(Row(name=name, text=f"{len(answer.active)} of {len(answer)} points"))
        elif isinstance(answer, MultiLabel):
            rows.extend(_labels(name, answer))
        elif isinstance(answer, Value):
            rows.append(Row(name=name, text=f"{answer.value:.0f} {plain(answer.unit)}"))
        elif isinstance(answer, Rotation):
            angles = (f"{label} {round(degrees):d}°" for label, degrees in answer.angles.items())
            rows.append(Row(name=name, text="  ".join(angles)))
    return rows


def looked_at(face: Face) -> list[Row]:
    """A row for each answer that a drawing shows and `full` leaves out."""
    rows = []
    for task, answer in face.answers.items():
        if isinstance(answer, Points):
            rows.append(Row(name=plain(task), text=f"{len(answer)} points"))
        elif isinstance(answer, Mask):
            rows.append(Row(name=plain(task), text=_areas(answer)))
    return rows


def compact(face: Face) -> list[Row]:
    """A few short lines for a face among many: single labels and numbers only."""
    rows = []
    for answer in face.answers.values():
        if isinstance(answer, Classification):
            rows.append(Row(name="", text=_share(answer.label, answer.probability)))
        elif isinstance(answer, Value):
            rows.append(Row(name="", text=f"{answer.value:.0f} {plain(answer.unit)}"))
    return rows[:COMPACT_LINES]


def plain(name: str) -> str:
    """A name as people read it."""
    return name.replace("_", " ")


def _labels(name: str, answer: MultiLabel) -> list[Row]:
    active = sorted(answer.active, key=lambda label: -answer[label])
    if not active:
        return [Row(name=name, text="none")]
    rows = [
        Row(name="" if index else name, text=_share(label, answer[label]), share=answer[label])
        for index, label in enumerate(active[:TOP_LABELS])
    ]
    if len(active) > TOP_LABELS:
        rows.append(Row(name="", text=f"and {len(active) - TOP_LABELS} more"))
    return rows


def _areas(mask: Mask) -> str:
    """The largest areas of a mask but the background, as shares of what the crop shows of the photo."""
    seen = mask.ids[mask.ids != OUTSIDE]
    counts = np.bincount(seen, minlength=1)
    counts[0] = 0
    largest = [int(i) for i in np.argsort(-counts, kind="stable")[:TOP_LABELS] if counts[i]]
    return "  ".join(_share(mask.labels[i], counts[i] / len(seen)) for i in largest) or "none"


def _share(label: str, probability: float) -> str:
    return f"{plain(label)} {probability:.0%}"
