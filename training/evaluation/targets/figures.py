"""Figures that a target bounds: a metric of the task's kind, or one that is made of its answers."""

import abc
import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import Weights
from training.evaluation.metric_accumulator import FaceStatistics
from training.evaluation.metrics import metric_named
from training.evaluation.scores import mean
from training.tasks import CATALOGUE


class Figure(abc.ABC):
    """A figure of the statistics of some faces."""

    needs_labels = True  # False: of the answers alone, on any faces

    @abc.abstractmethod
    def values(self, statistics: FaceStatistics, weights: Weights) -> NDArray[np.float64]:
        """[draws]: once for each row of the weights; NaN where it is not defined."""

    @abc.abstractmethod
    def unit(self, task: str) -> str:
        """What stands behind the number; "" for a share in 0..1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricOf(Figure):
    """A metric as evaluation has it; "f1/AU1" is of one label."""

    metric: str

    def values(self, statistics: FaceStatistics, weights: Weights) -> NDArray[np.float64]:
        found = statistics.all_values(weights)
        return found.get(self.metric, np.full(len(weights), np.nan))

    def unit(self, task: str) -> str:
        unit = metric_named(self.metric).unit
        return CATALOGUE[task].unit if unit == "task" else unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelsFrom(Figure):
    """How many labels have a metric of at least so much; one that no face has does not count."""

    metric: str
    least: float

    def values(self, statistics: FaceStatistics, weights: Weights) -> NDArray[np.float64]:
        found = statistics.all_values(weights)
        of_labels = [values for name, values in found.items() if name.startswith(f"{self.metric}/")]
        reach = [np.nan_to_num(values) >= self.least for values in of_labels]
        return np.asarray(np.sum(reach, axis=0) if reach else np.full(len(weights), np.nan), np.float64)

    def unit(self, task: str) -> str:
        return f"of {len(CATALOGUE[task].labels)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShareAnswered(Figure):
    """The share of faces for which a label is the answer, whatever their own labels are."""

    label: str
    needs_labels = False

    def values(self, statistics: FaceStatistics, weights: Weights) -> NDArray[np.float64]:
        labels = statistics.evaluated.labels
        if self.label not in labels:
            return np.full(len(weights), np.nan)
        answered = statistics.stats["answered"][:, labels.index(self.label)]
        return mean(weights, answered.astype(np.float64))

    def unit(self, task: str) -> str:
        return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShareNotAnswered(ShareAnswered):
    """The share of faces for which it is not."""

    def values(self, statistics: FaceStatistics, weights: Weights) -> NDArray[np.float64]:
        return 1 - super().values(statistics, weights)
