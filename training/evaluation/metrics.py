"""Properties of metrics by name. Each is computed by the kind that defines it, or by evaluation.confidence.

A metric is computed in two steps. A kind's `per_face` turns answers and labels of some faces into numbers a
face (right or wrong, an error, pixels of a class), so that masks need not be kept. `values` turns those
numbers and weights [draws, faces] into the metric, once for every draw of the bootstrap. That is why the
sums are the project's own (training.evaluation.scores): torchmetrics would compute each draw anew from the
answers. The tests hold each metric to torchmetrics.

Shares, areas, F1, CCC and calibration errors lie in 0..1; values in the task's unit; rotations in degrees;
NME in parts of the task's reference (training.kinds.points) or the box. Names with a slash are of one label:
"f1/AU1".
"""

from collections.abc import Mapping, Sequence

import numpy as np

from training.evaluation.confidence.measures import CONFIDENCE_METRICS
from training.kinds import kinds
from training.kinds.forms import Metric


def metric_named(name: str) -> Metric:
    """A metric by its name, or by that of one label's: "f1/AU1"."""
    base = name.partition("/")[0]
    of_kinds = (metric for kind in kinds().values() for metric in kind.metrics)
    found = (metric for metric in (*of_kinds, *CONFIDENCE_METRICS) if metric.name == base)
    return next(found, Metric(name=base))


def less_is_better(name: str) -> bool:
    """Whether a metric is an error."""
    return metric_named(name).is_error


def best_of(names: Sequence[str], candidates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """For each metric the best value among several predictors; NaN where none is defined."""
    found = {}
    for name in names:
        known = [one[name] for one in candidates if not np.isnan(one.get(name, np.nan))]
        best = min if less_is_better(name) else max
        found[name] = float(best(known)) if known else float("nan")
    return found
