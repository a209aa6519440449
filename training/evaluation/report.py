"""An evaluation as JSON and as Markdown tables."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.predictors import Predictor
from training.evaluation.published_figures import PublishedFigure
from training.evaluation.results import Estimate, SubgroupResult, TaskResult
from training.tasks import CATALOGUE

FORMAT = 1
_ANGLES = ("euler_mean_absolute_error", "geodesic_error")
_IN_UNITS = ("mean_absolute_error", "error_outside_bin")


def as_json(
    rows: Sequence[TaskResult],
    *,
    predictor: Predictor,
    options: Mapping[str, Any],
    comparison: Predictor | None = None,
) -> str:
    """Everything, with how it was asked for. What is not defined is null: JSON has no NaN."""
    return (
        json.dumps(
            {
                "format": FORMAT,
                "network": predictor.name,
                "contract": predictor.contract,
                "beside": None
                if comparison is None
                else {"network": comparison.name, "contract": comparison.contract},
                "options": {key: str(v) if isinstance(v, Path) else v for key, v in options.items()},
                "rows": [result_as_json(row) for row in rows],
            },
            indent=1,
            allow_nan=False,
        )
        + "\n"
    )


def result_as_json(row: TaskResult) -> dict[str, Any]:
    """A row as plain data: `values` has [value, low, high] by metric, and `beside` the other network's."""
    return {
        "task": row.task,
        "set": row.set,
        "subset": row.subset,
        "faces": row.faces,
        "not_found": row.not_found,
        "sent": row.sent,
        "left_out": row.left_out,
        "persons": row.persons,
        "labelled_by": row.labelled_by,
        "metric": row.metric,
        "not_official": row.deviation,
        "better_than_trivial": row.beats_baseline,
        "values": {name: _numbers(found) for name, found in row.values.items()},
        "beside": {name: _numbers(found) for name, found in row.comparison.items()},
        "trivial": {name: _number(value) for name, value in row.constant_baseline.items()},
        "positives": dict(row.positives),
        "published": {
            name: [{"method": one.method, "value": one.value, "source": one.source} for one in found]
            for name, found in {row.metric: row.published, **row.published_by_label}.items()
            if found
        },
        "groups": [
            {
                "by": group.by,
                "label": group.label,
                "faces": group.faces,
                "persons": group.persons,
                "value": _numbers(group.value),
                "beside": None if group.comparison is None else _numbers(group.comparison),
            }
            for group in row.subgroups
        ],
    }


def as_markdown(rows: Sequence[TaskResult], *, comparison: str | None = None) -> str:
    """One table of what each task is judged by, one of the other metrics, one of groups, and one a task of
    its labels. `comparison` names the other network, which then has a column in each."""
    parts = [_main_table(rows, comparison), _legend(rows, comparison)]
    if others := _others_table(rows, comparison):
        parts.append(others)
    if groups := _group_table(rows, comparison):
        parts += ["The same on the faces that people labelled alike:", groups]
    for row in rows:
        if not row.subset and (labels := _label_table(row, comparison)):
            parts.append(f"{row.task} on {row.set_and_subset}\n\n{labels}")
    return "\n\n".join(parts) + "\n"


def _main_table(rows: Sequence[TaskResult], comparison: str | None) -> str:
    photos = any(row.sent != "crop" for row in rows)
    columns: list[tuple[str, Callable[[TaskResult], str]]] = [
        ("task", lambda row: row.task),
        ("set", lambda row: row.set_and_subset),
        ("faces", lambda row: _face_count(row)),
        *([("sent", _sent)] if photos else []),
        ("metric", lambda row: row.metric),
        ("this network", lambda row: _estimate(row, row.metric)),
        *([(comparison, lambda row: _comparison(row, row.metric))] if comparison else []),
        ("trivial", lambda row: format_metric(row.task, row.metric, row.constant_baseline[row.metric])),
        ("better", lambda row: {True: "yes", False: "no", None: "-"}[row.beats_baseline]),
        (
            "published",
            lambda row: (
                f"not the official protocol: {row.deviation}"
                if row.deviation
                else _published(row, row.metric, row.published)
            ),
        ),
        ("labelled by", lambda row: row.labelled_by),
    ]
    return markdown_table([name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows])


def _legend(rows: Sequence[TaskResult], comparison: str | None) -> str:
    """What the main table's columns mean."""
    sentences = [
        "In brackets the 95 % interval (bootstrap over persons where they are known, else over faces).",
        "`trivial`: the best that always the same answer reaches.",
        "`better`: the whole interval lies on the better side of it.",
    ]
    if any(row.sent != "crop" for row in rows):
        sentences.append(
            "`sent`: what the server was asked about, an aligned crop, or the whole photo in which it found "
            "the face itself; faces that it did not find are counted there and are in no figure. `left out`: "
            "further photos of the split, which are not in the prepared set, most often as no face was found "
            "in them then. What a mask says nothing of is background."
        )
    if comparison:
        sentences.append(f"`{comparison}`: on the crops of the same faces.")
    sentences.append(
        "`published`: only beside the whole official test part of a set; where the paper drew that at random "
        "(EmotioNet, AgeDB, BIWI), ours is another draw of the same shares."
    )
    return " ".join(sentences)


def _group_table(rows: Sequence[TaskResult], comparison: str | None) -> str:
    lines = [
        [
            row.task,
            row.set_and_subset,
            group.by,
            group.label,
            _face_count(group),
            row.metric,
            _format_estimate(row.task, row.metric, group.value),
            *([_format_estimate(row.task, row.metric, group.comparison)] if comparison else []),
        ]
        for row in rows
        for group in row.subgroups
    ]
    names = (
        "task",
        "set",
        "by",
        "group",
        "faces",
        "metric",
        "this network",
        *([comparison] if comparison else []),
    )
    return markdown_table(names, lines) if lines else ""


def _others_table(rows: Sequence[TaskResult], comparison: str | None) -> str:
    lines = [
        [row.task, row.set_and_subset, name, *_figures(row, name, comparison)]
        for row in rows
        for name in row.values
        if "/" not in name and name != row.metric
    ]
    return (
        markdown_table(("task", "set", "metric", *_networks(comparison), "trivial"), lines) if lines else ""
    )


def _label_table(row: TaskResult, comparison: str | None) -> str:
    lines = []
    for name, found in row.values.items():
        metric, _, label = name.partition("/")
        if label and not math.isnan(found.value):
            count = [f"{row.positives[label]:,}"] if row.positives else []
            published = _published(row, name, row.published_by_label.get(name, ()))
            lines.append([label, *count, metric, *_figures(row, name, comparison), published])
    count = ["faces that have it"] if row.positives else []
    return (
        markdown_table(("label", *count, "metric", *_networks(comparison), "trivial", "published"), lines)
        if lines
        else ""
    )


def _networks(comparison: str | None) -> list[str]:
    return ["this network", *([comparison] if comparison else [])]


def _figures(row: TaskResult, name: str, comparison: str | None) -> list[str]:
    """A metric of the networks and of the constant baseline."""
    compared = [_comparison(row, name)] if comparison else []
    return [_estimate(row, name), *compared, format_metric(row.task, name, row.constant_baseline[name])]


def _face_count(counts: TaskResult | SubgroupResult) -> str:
    return f"{counts.faces:,}" + (f" of {counts.persons:,} persons" if counts.persons else "")


def _sent(row: TaskResult) -> str:
    """What was sent, and of how many faces nothing came back."""
    if row.sent == "crop":
        return row.sent
    left_out = f", left out: {row.left_out:,}" if row.left_out else ""
    return f"{row.sent}, not found: {row.not_found:,} of {row.faces + row.not_found:,}{left_out}"


def markdown_table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [list(heading), ["---"] * len(heading), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def format_metric(task: str, metric: str, value: float) -> str:
    """A metric for people: "92.86 %", "4.67 years", "2.92 degrees", and "-" where it is not defined."""
    if math.isnan(value):
        return "-"
    base = metric.partition("/")[0]
    if base in _IN_UNITS:
        return f"{value:.2f} {CATALOGUE[task].unit}"
    if base in _ANGLES:
        return f"{value:.2f} degrees"
    return f"{round(100 * value, 2) + 0.0:.2f} %"  # and no -0.00


def write_text(path: Path, text: str) -> None:
    """Writes a whole file or leaves the one that was there; ValueError where there is no room or no right."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ValueError(f"{path} can't be written ({error.strerror}): name another place") from None


def _estimate(row: TaskResult, name: str) -> str:
    return _format_estimate(row.task, name, row.values[name])


def _comparison(row: TaskResult, name: str) -> str:
    return _format_estimate(row.task, name, row.comparison.get(name))


def _format_estimate(task: str, name: str, found: Estimate | None) -> str:
    if found is None:
        return "-"
    text = format_metric(task, name, found.value)
    if math.isnan(found.low):
        return text
    number, _, unit = text.partition(" ")
    ends = [format_metric(task, name, end).partition(" ")[0] for end in (found.low, found.high)]
    return f"{number} [{ends[0]}, {ends[1]}] {unit}"


def _published(row: TaskResult, name: str, found: Sequence[PublishedFigure]) -> str:
    return (
        "; ".join(f"{one.method} {format_metric(row.task, name, one.value)} ({one.source})" for one in found)
        or "-"
    )


def _numbers(found: Estimate) -> list[float | None]:
    return [_number(found.value), _number(found.low), _number(found.high)]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
