"""The results of an evaluation: one for every task on every set, and their summary."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from training.evaluation.confidence.measures import CONFIDENCE_METRICS
from training.evaluation.metrics import less_is_better
from training.evaluation.published_figures import PublishedFigure

_CONFIDENCE = {metric.name for metric in CONFIDENCE_METRICS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric and the ends of its 95 % interval (NaN where no bootstrap was made)."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubgroupResult:
    """The main metric on a subgroup of a result's faces."""

    by: str  # the task whose labels split the faces
    label: str  # the subgroup's
    faces: int
    persons: int  # among them; 0 where the set does not say who they are
    value: Estimate
    comparison: Estimate | None  # of the other network


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The metrics of one task on one set, or on a named part of it."""

    task: str
    set: str
    subset: str  # the named part; "" for the whole
    faces: int  # labelled for the task, and found
    not_found: int  # labelled too, but not found by the server's detector: in no metric
    sent: str  # the network's input: a "crop", or the whole "photo"
    left_out: int  # photos of the split that preparing left out of the set; 0 where crops are sent
    persons: int  # among the faces; 0 where the set does not say who they are
    labelled_by: str  # "human", or the teacher whose labels these are
    metric: str  # the main one of `values`
    values: Mapping[str, Estimate]
    comparison: Mapping[str, Estimate]  # another network's on the same faces' crops; empty without one
    constant_baseline: Mapping[str, float]  # of each metric, the best value of a constant prediction
    # By label, of tasks of classes and of several labels: how many of the faces have it.
    positives: Mapping[str, int]
    published: tuple[PublishedFigure, ...]  # of `metric`
    published_by_label: Mapping[str, tuple[PublishedFigure, ...]]  # of metrics of single labels
    deviation: str  # from the set's official protocol; "" for none
    subgroups: tuple[SubgroupResult, ...] = ()  # of the whole set's faces

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the whole interval of the main metric is better than the constant baseline.

        None without an interval.
        """
        main, baseline = self.values[self.metric], self.constant_baseline[self.metric]
        if np.isnan(main.low):
            return None
        if less_is_better(self.metric):
            return main.high < baseline
        return main.low > baseline

    @property
    def set_and_subset(self) -> str:
        """The set, with its part: "300w (common)"."""
        return f"{self.set} ({self.subset})" if self.subset else self.set


def summary(results: Sequence[TaskResult]) -> dict[str, dict[str, float]]:
    """The values of all metrics by "task on set", as a checkpoint's card records them.

    Metrics of single labels and of confidence are left out, and those that are not defined on these faces.
    """
    return {
        f"{result.task} on {result.set_and_subset}": {
            "faces": result.faces,
            **{
                name: round(value, 5)
                for name, value in (
                    *(
                        (name, found.value)
                        for name, found in result.values.items()
                        if "/" not in name and name not in _CONFIDENCE
                    ),
                    ("trivial", result.constant_baseline[result.metric]),
                )
                if not np.isnan(value)
            },
        }
        for result in results
    }
