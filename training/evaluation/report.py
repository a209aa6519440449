"""An evaluation as JSON and as Markdown tables."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.confidence.measures import CONFIDENCE_METRICS
from training.evaluation.confidence.tables import confidence_tables
from training.evaluation.predictors import Predictor
from training.evaluation.published_figures import PublishedFigure
from training.evaluation.results import Estimate, SubgroupResult, TaskResult
from training.evaluation.tables import format_estimate, format_metric, markdown_table

FORMAT = 1
_CONFIDENCE = {metric.name for metric in CONFIDENCE_METRICS}


def as_json(
    results: Sequence[TaskResult],
    *,
    predictor: Predictor,
    options: Mapping[str, Any],
    comparison: Predictor | None = None,
) -> str:
    """All results with the options that made them. Undefined values are null: JSON has no NaN."""
    return (
        json.dumps(
            {
                "format": FORMAT,
                "network": predictor.name,
                "contract": predictor.contract,
                "precision": predictor.precision or None,
                "beside": None
                if comparison is None
                else {"network": comparison.name, "contract": comparison.contract},
                "options": {key: str(v) if isinstance(v, Path) else v for key, v in options.items()},
                "rows": [result_as_json(result) for result in results],
            },
            indent=1,
            allow_nan=False,
        )
        + "\n"
    )


def result_as_json(result: TaskResult) -> dict[str, Any]:
    """A result as plain data. `values` and `beside` have [value, low, high] by metric."""
    return {
        "task": result.task,
        "set": result.set,
        "subset": result.subset,
        "faces": result.faces,
        "not_found": result.not_found,
        "sent": result.sent,
        "left_out": result.left_out,
        "persons": result.persons,
        "labelled_by": result.labelled_by,
        "metric": result.metric,
        "not_official": result.deviation,
        "better_than_trivial": result.beats_baseline,
        "values": {name: json_numbers(found) for name, found in result.values.items()},
        "beside": {name: json_numbers(found) for name, found in result.comparison.items()},
        "trivial": {name: json_number(value) for name, value in result.constant_baseline.items()},
        "positives": dict(result.positives),
        "published": {
            name: [{"method": one.method, "value": one.value, "source": one.source} for one in found]
            for name, found in {result.metric: result.published, **result.published_by_label}.items()
            if found
        },
        "groups": [
            {
                "by": group.by,
                "label": group.label,
                "faces": group.faces,
                "persons": group.persons,
                "value": json_numbers(group.value),
                "beside": None if group.comparison is None else json_numbers(group.comparison),
            }
            for group in result.subgroups
        ],
    }


def as_markdown(results: Sequence[TaskResult], *, comparison: str | None = None, precision: str = "") -> str:
    """Tables of the main metrics, of the other metrics, of subgroups, and for each task one of its labels.

    `comparison` names the other network, which then has a column in each table; `precision` is the number
    format in which this network computed ("": not known).
    """
    parts = [_main_table(results, comparison), _legend(results, comparison, precision)]
    if others := _others_table(results, comparison):
        parts.append(others)
    parts += confidence_tables(results, comparison=comparison)
    if subgroups := _subgroup_table(results, comparison):
        parts += ["The same on the faces that people labelled alike:", subgroups]
    for result in results:
        if not result.subset and (labels := _label_table(result, comparison)):
            parts.append(f"{result.task} on {result.set_and_subset}\n\n{labels}")
    return "\n\n".join(parts) + "\n"


def _main_table(results: Sequence[TaskResult], comparison: str | None) -> str:
    photos = any(result.sent != "crop" for result in results)
    columns: list[tuple[str, Callable[[TaskResult], str]]] = [
        ("task", lambda result: result.task),
        ("set", lambda result: result.set_and_subset),
        ("faces", lambda result: _face_count(result)),
        *([("sent", _sent)] if photos else []),
        ("metric", lambda result: result.metric),
        ("this network", lambda result: _estimate(result, result.metric)),
        *([(comparison, lambda result: _comparison(result, result.metric))] if comparison else []),
        (
            "trivial",
            lambda result: format_metric(result.task, result.metric, result.constant_baseline[result.metric]),
        ),
        ("better", lambda result: {True: "yes", False: "no", None: "-"}[result.beats_baseline]),
        (
            "published",
            lambda result: (
                f"not the official protocol: {result.deviation}"
                if result.deviation
                else _published(result, result.metric, result.published)
            ),
        ),
        ("labelled by", lambda result: result.labelled_by),
    ]
    return markdown_table(
        [name for name, _ in columns], [[cell(result) for _, cell in columns] for result in results]
    )


def _legend(results: Sequence[TaskResult], comparison: str | None, precision: str) -> str:
    """The meaning of the main table's columns."""
    sentences = [
        "In brackets the 95 % interval (bootstrap over persons where they are known, else over faces).",
        "`trivial`: what the best constant answer reaches, learned from the set's training part.",
        "`better`: the whole interval lies on the better side of it.",
    ]
    if any(result.sent != "crop" for result in results):
        sentences.append(
            "`sent`: what the server was asked about, an aligned crop, or the whole photo in which it found "
            "the face itself; faces that it did not find are counted there and are in no figure. `left out`: "
            "further photos of the split, which are not in the prepared set, most often as no face was found "
            "in them then. What a mask says nothing of is background."
        )
    if precision:
        sentences.append(f"`this network` computed in {precision}.")
    if comparison:
        sentences.append(f"`{comparison}`: on the crops of the same faces.")
    sentences.append(
        "`published`: only beside the whole official test part of a set; where the paper drew that at random "
        "(EmotioNet, AgeDB, BIWI), ours is another draw of the same shares."
    )
    return " ".join(sentences)


def _subgroup_table(results: Sequence[TaskResult], comparison: str | None) -> str:
    lines = [
        [
            result.task,
            result.set_and_subset,
            group.by,
            group.label,
            _face_count(group),
            result.metric,
            format_estimate(result.task, result.metric, group.value),
            *([format_estimate(result.task, result.metric, group.comparison)] if comparison else []),
        ]
        for result in results
        for group in result.subgroups
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


def _others_table(results: Sequence[TaskResult], comparison: str | None) -> str:
    lines = [
        [result.task, result.set_and_subset, name, *_figures(result, name, comparison)]
        for result in results
        for name in result.values
        if "/" not in name and name != result.metric and name not in _CONFIDENCE
    ]
    return (
        markdown_table(("task", "set", "metric", *_networks(comparison), "trivial"), lines) if lines else ""
    )


def _label_table(result: TaskResult, comparison: str | None) -> str:
    lines = []
    for name, found in result.values.items():
        metric, _, label = name.partition("/")
        if label and not math.isnan(found.value):
            count = [f"{result.positives[label]:,}"] if result.positives else []
            published = _published(result, name, result.published_by_label.get(name, ()))
            lines.append([label, *count, metric, *_figures(result, name, comparison), published])
    count = ["faces that have it"] if result.positives else []
    return (
        markdown_table(("label", *count, "metric", *_networks(comparison), "trivial", "published"), lines)
        if lines
        else ""
    )


def _networks(comparison: str | None) -> list[str]:
    return ["this network", *([comparison] if comparison else [])]


def _figures(result: TaskResult, name: str, comparison: str | None) -> list[str]:
    """A metric of the networks and of the constant baseline."""
    compared = [_comparison(result, name)] if comparison else []
    return [
        _estimate(result, name),
        *compared,
        format_metric(result.task, name, result.constant_baseline[name]),
    ]


def _face_count(counts: TaskResult | SubgroupResult) -> str:
    return f"{counts.faces:,}" + (f" of {counts.persons:,} persons" if counts.persons else "")


def _sent(result: TaskResult) -> str:
    """The input, and for how many faces the server found none."""
    if result.sent == "crop":
        return result.sent
    left_out = f", left out: {result.left_out:,}" if result.left_out else ""
    return f"{result.sent}, not found: {result.not_found:,} of {result.faces + result.not_found:,}{left_out}"


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically: on failure the old one stays. ValueError where it can't be written."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ValueError(f"{path} can't be written ({error.strerror}): name another place") from None


def _estimate(result: TaskResult, name: str) -> str:
    return format_estimate(result.task, name, result.values[name])


def _comparison(result: TaskResult, name: str) -> str:
    return format_estimate(result.task, name, result.comparison.get(name))


def _published(result: TaskResult, name: str, found: Sequence[PublishedFigure]) -> str:
    return (
        "; ".join(
            f"{one.method} {format_metric(result.task, name, one.value)} ({one.source})" for one in found
        )
        or "-"
    )


def json_numbers(found: Estimate) -> list[float | None]:
    """A metric and its interval's ends for JSON."""
    return [json_number(found.value), json_number(found.low), json_number(found.high)]


def json_number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else round(value, 6)
