"""Markdown tables of metrics."""

import math
from collections.abc import Sequence

from training.evaluation.metrics import metric_named
from training.evaluation.results import Estimate
from training.tasks import CATALOGUE

_PROBABILITY = "probability"  # a task's unit whose errors are shares


def markdown_table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    results = [list(heading), ["---"] * len(heading), *lines]
    return "\n".join("| " + " | ".join(result) + " |" for result in results)


def format_metric(task: str, metric: str, value: float) -> str:
    """A metric with its unit: "92.86 %", "4.67 years", "2.92 degrees", and "-" where it is not defined."""
    if math.isnan(value):
        return "-"
    unit = metric_named(metric).unit
    unit = CATALOGUE[task].unit if unit == "task" else unit
    if unit not in ("", _PROBABILITY):
        return f"{value:.2f} {unit}"
    return f"{round(100 * value, 2) + 0.0:.2f} %"  # and no -0.00


def format_estimate(task: str, name: str, found: Estimate | None) -> str:
    """A metric with its interval: "92.86 [92.1, 93.5] %", and "-" where there is none."""
    if found is None:
        return "-"
    text = format_metric(task, name, found.value)
    if math.isnan(found.low):
        return text
    number, _, unit = text.partition(" ")
    ends = [format_metric(task, name, end).partition(" ")[0] for end in (found.low, found.high)]
    return f"{number} [{ends[0]}, {ends[1]}] {unit}"
