"""What an evaluation finds: a row for every task on every set, and what is kept of it in short."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from training.evaluation.metrics import less_is_better
from training.evaluation.published_figures import PublishedFigure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric and the ends of its 95 % interval (NaN where no bootstrap was made)."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubgroupResult:
    """The main metric on the faces of a row that people labelled alike."""

    by: str  # the task whose labels tell the groups apart
    label: str  # the group's
    faces: int
    persons: int  # among them; 0 where the set does not say who they are
    value: Estimate
    comparison: Estimate | None  # of the other network


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskResult:
    """How well one task is answered on one set, or on a named part of it."""

    task: str
    set: str
    subset: str  # the named part; "" for the whole
    faces: int  # labelled for the task, and found
    not_found: int  # labelled too, but the server found no face where they are: in no metric
    sent: str  # what the network was asked about: "crop", or the whole "photo"
    left_out: int  # photos of the split that preparing left out of the set; 0 where crops are sent
    persons: int  # among the faces; 0 where the set does not say who they are
    labelled_by: str  # "human", or the teacher whose labels these are
    metric: str  # the one of `values` that the task is judged by
    values: Mapping[str, Estimate]
    comparison: Mapping[
        str, Estimate
    ]  # the other network's on the crops of the same faces; empty without one
    constant_baseline: Mapping[str, float]  # of each metric, the best that always the same answer reaches
    # Of one label out of several, and of independent ones: how many of the faces have it.
    positives: Mapping[str, int]
    published: tuple[PublishedFigure, ...]  # what others reached in `metric`
    published_by_label: Mapping[str, tuple[PublishedFigure, ...]]  # and in metrics of single labels
    deviation: str  # what is not as in the set's official protocol; "" where all is
    subgroups: tuple[SubgroupResult, ...] = ()  # of the whole set's faces

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the whole interval of the main metric lies on the better side of the trivial answer's.

        None without an interval.
        """
        main, trivial = self.values[self.metric], self.constant_baseline[self.metric]
        if np.isnan(main.low):
            return None
        if less_is_better(self.metric):
            return main.high < trivial
        return main.low > trivial

    @property
    def set_and_subset(self) -> str:
        """The set, with its part: "300w (common)"."""
        return f"{self.set} ({self.subset})" if self.subset else self.set


def summary(rows: Sequence[TaskResult]) -> dict[str, dict[str, float]]:
    """The plain figures by "task on set": what a checkpoint's card keeps.

    Those of single labels are left out, and those that these faces don't define.
    """
    return {
        f"{row.task} on {row.set_and_subset}": {
            "faces": row.faces,
            **{
                name: round(value, 5)
                for name, value in (
                    *((name, found.value) for name, found in row.values.items() if "/" not in name),
                    ("trivial", row.constant_baseline[row.metric]),
                )
                if not np.isnan(value)
            },
        }
        for row in rows
    }
