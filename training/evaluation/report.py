"""An evaluation as JSON and as Markdown tables."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.predictors import Subject
from training.evaluation.published_figures import Published
from training.evaluation.results import Estimate, Group, Row
from training.tasks import CATALOGUE

FORMAT = 1
_ANGLES = ("euler_mean_absolute_error", "geodesic_error")
_IN_UNITS = ("mean_absolute_error", "error_outside_bin")


def as_json(
    rows: Sequence[Row], *, subject: Subject, options: Mapping[str, Any], beside: Subject | None = None
) -> str:
    """Everything, with how it was asked for. What is not defined is null: JSON has no NaN."""
    return (
        json.dumps(
            {
                "format": FORMAT,
                "network": subject.name,
                "contract": subject.contract,
                "beside": None if beside is None else {"network": beside.name, "contract": beside.contract},
                "options": {key: str(v) if isinstance(v, Path) else v for key, v in options.items()},
                "rows": [row_as_json(row) for row in rows],
            },
            indent=1,
            allow_nan=False,
        )
        + "\n"
    )


def row_as_json(row: Row) -> dict[str, Any]:
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
        "better_than_trivial": row.better,
        "values": {name: _numbers(found) for name, found in row.values.items()},
        "beside": {name: _numbers(found) for name, found in row.beside.items()},
        "trivial": {name: _number(value) for name, value in row.trivial.items()},
        "positives": dict(row.positives),
        "published": {
            name: [{"method": one.method, "value": one.value, "source": one.source} for one in there]
            for name, there in {row.metric: row.published, **row.by_label}.items()
            if there
        },
        "groups": [
            {
                "by": group.by,
                "label": group.label,
                "faces": group.faces,
                "persons": group.persons,
                "value": _numbers(group.value),
                "beside": None if group.beside is None else _numbers(group.beside),
            }
            for group in row.groups
        ],
    }


def as_markdown(rows: Sequence[Row], *, beside: str | None = None) -> str:
    """One table of what each task is judged by, one of the other metrics, one of groups, and one a task of
    its labels. `beside` names the other network, which then has a column in each."""
    parts = [_main_table(rows, beside), _words(rows, beside)]
    if others := _others_table(rows, beside):
        parts.append(others)
    if groups := _group_table(rows, beside):
        parts += ["The same on the faces that people labelled alike:", groups]
    for row in rows:
        if not row.subset and (labels := _label_table(row, beside)):
            parts.append(f"{row.task} on {row.place}\n\n{labels}")
    return "\n\n".join(parts) + "\n"


def _main_table(rows: Sequence[Row], beside: str | None) -> str:
    photos = any(row.sent != "crop" for row in rows)
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("task", lambda row: row.task),
        ("set", lambda row: row.place),
        ("faces", lambda row: _people(row)),
        *([("sent", _sent)] if photos else []),
        ("metric", lambda row: row.metric),
        ("this network", lambda row: _estimate(row, row.metric)),
        *([(beside, lambda row: _beside(row, row.metric))] if beside else []),
        ("trivial", lambda row: shown(row.task, row.metric, row.trivial[row.metric])),
        ("better", lambda row: {True: "yes", False: "no", None: "-"}[row.better]),
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
    return table([name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows])


def _words(rows: Sequence[Row], beside: str | None) -> str:
    """What the main table's columns mean."""
    words = [
        "In brackets the 95 % interval (bootstrap over persons where they are known, else over faces).",
        "`trivial`: the best that always the same answer reaches.",
        "`better`: the whole interval lies on the better side of it.",
    ]
    if any(row.sent != "crop" for row in rows):
        words.append(
            "`sent`: what the server was asked about, an aligned crop, or the whole photo in which it found "
            "the face itself; faces that it did not find are counted there and are in no figure. `left out`: "
            "further photos of the split, which are not in the prepared set, most often as no face was found "
            "in them then. What a mask says nothing of is background."
        )
    if beside:
        words.append(f"`{beside}`: on the crops of the same faces.")
    words.append(
        "`published`: only beside the whole official test part of a set; where the paper drew that at random "
        "(EmotioNet, AgeDB, BIWI), ours is another draw of the same shares."
    )
    return " ".join(words)


def _group_table(rows: Sequence[Row], beside: str | None) -> str:
    lines = [
        [
            row.task,
            row.place,
            group.by,
            group.label,
            _people(group),
            row.metric,
            _shown_estimate(row.task, row.metric, group.value),
            *([_shown_estimate(row.task, row.metric, group.beside)] if beside else []),
        ]
        for row in rows
        for group in row.groups
    ]
    names = ("task", "set", "by", "group", "faces", "metric", "this network", *([beside] if beside else []))
    return table(names, lines) if lines else ""


def _others_table(rows: Sequence[Row], beside: str | None) -> str:
    lines = [
        [row.task, row.place, name, *_figures(row, name, beside)]
        for row in rows
        for name in row.values
        if "/" not in name and name != row.metric
    ]
    return table(("task", "set", "metric", *_networks(beside), "trivial"), lines) if lines else ""


def _label_table(row: Row, beside: str | None) -> str:
    lines = []
    for name, found in row.values.items():
        metric, _, label = name.partition("/")
        if label and not math.isnan(found.value):
            have = [f"{row.positives[label]:,}"] if row.positives else []
            published = _published(row, name, row.by_label.get(name, ()))
            lines.append([label, *have, metric, *_figures(row, name, beside), published])
    have = ["faces that have it"] if row.positives else []
    return (
        table(("label", *have, "metric", *_networks(beside), "trivial", "published"), lines) if lines else ""
    )


def _networks(beside: str | None) -> list[str]:
    return ["this network", *([beside] if beside else [])]


def _figures(row: Row, name: str, beside: str | None) -> list[str]:
    """A metric of the networks and of the trivial answer."""
    others = [_beside(row, name)] if beside else []
    return [_estimate(row, name), *others, shown(row.task, name, row.trivial[name])]


def _people(counted: Row | Group) -> str:
    return f"{counted.faces:,}" + (f" of {counted.persons:,} persons" if counted.persons else "")


def _sent(row: Row) -> str:
    """What was sent, and of how many faces nothing came back."""
    if row.sent == "crop":
        return row.sent
    more = f", left out: {row.left_out:,}" if row.left_out else ""
    return f"{row.sent}, not found: {row.not_found:,} of {row.faces + row.not_found:,}{more}"


def table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [list(heading), ["---"] * len(heading), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def shown(task: str, metric: str, value: float) -> str:
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


def _estimate(row: Row, name: str) -> str:
    return _shown_estimate(row.task, name, row.values[name])


def _beside(row: Row, name: str) -> str:
    return _shown_estimate(row.task, name, row.beside.get(name))


def _shown_estimate(task: str, name: str, found: Estimate | None) -> str:
    if found is None:
        return "-"
    said = shown(task, name, found.value)
    if math.isnan(found.low):
        return said
    number, _, unit = said.partition(" ")
    ends = [shown(task, name, end).partition(" ")[0] for end in (found.low, found.high)]
    return f"{number} [{ends[0]}, {ends[1]}] {unit}"


def _published(row: Row, name: str, there: Sequence[Published]) -> str:
    return (
        "; ".join(f"{one.method} {shown(row.task, name, one.value)} ({one.source})" for one in there) or "-"
    )


def _numbers(found: Estimate) -> list[float | None]:
    return [_number(found.value), _number(found.low), _number(found.high)]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
