"""The report on groups of people: tables, the gaps between groups, and which of them are too large."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.fairness.gaps import GroupedFigure, GroupFigure
from training.evaluation.report import json_number, json_numbers
from training.evaluation.results import Estimate
from training.evaluation.tables import format_estimate, format_metric, markdown_table

FORMAT = 1
_SHOWN = 12  # single labels with the largest gaps


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskGroups:
    """What was measured of one task on one set, by one grouping."""

    task: str
    set: str
    sent: str  # a "crop", or the whole "photo"
    labelled_by: str  # "human", a teacher; "" where only the answers count
    title: str  # what is measured, for people: a metric, or a share of answers
    figures: tuple[GroupedFigure, ...]  # the main metric's first

    @property
    def main(self) -> GroupedFigure:
        """The main metric's."""
        return self.figures[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limit:
    """The largest gap that a metric of a task may have."""

    task: str
    metric: str
    gap: float  # in the metric's unit, shares in 0..1

    @classmethod
    def parse(cls, words: str) -> "Limit":
        """TASK.METRIC=GAP; ValueError for others."""
        name, _, number = words.rpartition("=")
        task, _, metric = name.partition(".")
        try:
            gap = float(number)
        except ValueError:
            gap = math.nan
        if not task or not metric or not gap >= 0:
            raise ValueError(f"--fail-above {words}: give TASK.METRIC=GAP, such as gender.top1_accuracy=0.1")
        return cls(task=task, metric=metric, gap=gap)


def exceeded(measured: Sequence[TaskGroups], limits: Sequence[Limit], *, certain: bool) -> list[str]:
    """A sentence for each gap that is above its limit; `certain`: the whole interval has to be.

    ValueError for a limit of what was not measured on two groups that are large enough.
    """
    sentences = []
    for limit in limits:
        found = [
            (of_task, figure)
            for of_task in measured
            if of_task.task == limit.task
            for figure in of_task.figures
            if figure.metric == limit.metric and figure.gap is not None
        ]
        if not found:
            possible = sorted(
                {f"{t.task}.{f.metric}" for t in measured for f in t.figures if f.gap and "/" not in f.metric}
            )
            others = f"choose from {', '.join(possible)}, or " if possible else ""
            raise ValueError(
                f"{limit.task}.{limit.metric} was measured on no two groups of enough faces: {others}measure "
                "more faces, or take a lower --smallest"
            )
        for of_task, figure in found:
            assert figure.gap is not None
            if (figure.gap.low if certain else figure.gap.value) > limit.gap:
                sentences.append(_sentence(of_task, figure, figure.gap, limit))
    return sentences


def _sentence(of_task: TaskGroups, figure: GroupedFigure, gap: Estimate, limit: Limit) -> str:
    worst, best = figure.worst_and_best
    own = [f"{_number(of_task, figure, group.estimate.value)} for {group.label}" for group in (worst, best)]
    return (
        f"{of_task.task} on {of_task.set}: {of_task.title if figure is of_task.main else figure.metric} is "
        f"{own[0]} and {own[1]} (by {figure.by}), a gap of {_estimate(of_task, figure, gap)}, above "
        f"{_number(of_task, figure, limit.gap)}"
    )


def as_markdown(measured: Sequence[TaskGroups], *, name: str, smallest: int) -> str:
    """All gaps, the largest first; then the groups of each, the worst first; then single labels."""
    parts = [f"# For whom {name} is how good", _overview(measured)]
    parts.append(
        f"A gap is between the worst and the best group of {smallest} faces or more, with its 95 % interval "
        "(of the same two groups; bootstrap over persons where they are known, else over faces). `by "
        "chance`: 95 of 100 gaps are smaller when people's groups are shuffled; a gap below it shows "
        "nothing. Groups are what people said of the faces; smaller ones are listed and decide no gap."
    )
    for of_task in measured:
        lines = [
            [
                group.label,
                f"{group.faces:,}{'' if group.decides else ' (too few)'}",
                _estimate(of_task, of_task.main, group.estimate),
            ]
            for group in of_task.main.groups
        ]
        teacher = f", labelled by {of_task.labelled_by}" if of_task.labelled_by not in ("", "human") else ""
        parts.append(f"## {of_task.task} on {of_task.set}, by {of_task.main.by}{teacher}")
        parts.append(markdown_table((of_task.main.by, "faces", of_task.title), lines))
    if labels := _label_gaps(measured):
        parts += ["## Single labels with the largest gaps, beyond chance", labels]
    return "\n\n".join(parts) + "\n"


def _overview(measured: Sequence[TaskGroups]) -> str:
    lines = []
    for of_task in measured:
        main = of_task.main
        if main.gap is None:
            continue
        worst, best = main.worst_and_best
        lines.append(
            [
                of_task.task,
                f"{of_task.set} ({of_task.sent}s)",
                main.by,
                of_task.title,
                *(_named(of_task, main, group) for group in (worst, best)),
                _estimate(of_task, main, main.gap),
                _number(of_task, main, main.by_chance),
            ]
        )
    heading = ("task", "set", "by", "metric", "worst", "best", "gap", "by chance")
    return markdown_table(heading, lines) if lines else "No task has two groups of enough faces."


def _label_gaps(measured: Sequence[TaskGroups]) -> str:
    found = [
        (figure.gap.value / max(figure.by_chance, 1e-9), of_task, figure)
        for of_task in measured
        for figure in of_task.figures[1:]
        if "/" in figure.metric and figure.gap is not None and figure.gap.value > figure.by_chance
    ]
    found.sort(key=lambda each: -each[0])
    lines = [
        [
            of_task.task,
            f"{of_task.set} by {figure.by}",
            figure.metric,
            *(_named(of_task, figure, group) for group in figure.worst_and_best),
            _estimate(of_task, figure, figure.gap),
            _number(of_task, figure, figure.by_chance),
        ]
        for _, of_task, figure in found[:_SHOWN]
    ]
    heading = ("task", "set", "metric", "worst", "best", "gap", "by chance")
    return markdown_table(heading, lines) if lines else ""


def as_json(
    measured: Sequence[TaskGroups],
    *,
    network: Mapping[str, Any],
    exceeded: Sequence[str],
    options: Mapping[str, Any],
) -> str:
    """Everything as data."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    content = {
        "format": FORMAT,
        "network": dict(network),
        "options": plain,
        "exceeded": list(exceeded),
        "rows": [_row(of_task, figure) for of_task in measured for figure in of_task.figures],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _row(of_task: TaskGroups, figure: GroupedFigure) -> dict[str, Any]:
    return {
        "task": of_task.task,
        "set": of_task.set,
        "sent": of_task.sent,
        "labelled_by": of_task.labelled_by,
        "main": figure is of_task.main,
        "metric": figure.metric,
        "title": of_task.title if figure is of_task.main else figure.metric,
        "by": figure.by,
        "gap": None if figure.gap is None else json_numbers(figure.gap),
        "by_chance": json_number(figure.by_chance),
        "groups": [
            {
                "label": group.label,
                "faces": group.faces,
                "decides": group.decides,
                "value": json_numbers(group.estimate),
            }
            for group in figure.groups
        ],
    }


def _named(of_task: TaskGroups, figure: GroupedFigure, group: GroupFigure) -> str:
    return f"{group.label}: {_number(of_task, figure, group.estimate.value)}"


def _number(of_task: TaskGroups, figure: GroupedFigure, value: float) -> str:
    return format_metric(of_task.task, figure.metric, value)


def _estimate(of_task: TaskGroups, figure: GroupedFigure, found: Estimate | None) -> str:
    return format_estimate(of_task.task, figure.metric, found)
