"""An evaluation as JSON and as Markdown tables."""

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.published import Published
from training.subjects import Subject
from training.tasks import CATALOGUE

if TYPE_CHECKING:
    from training.evaluate import Estimate, Row

FORMAT = 1
_ANGLES = ("euler_mean_absolute_error", "geodesic_error")
_IN_UNITS = ("mean_absolute_error", "error_outside_bin")


def as_json(rows: Sequence["Row"], *, subject: Subject, options: Mapping[str, Any]) -> str:
    """Everything, with how it was asked for. What is not defined is null: JSON has no NaN."""
    return (
        json.dumps(
            {
                "format": FORMAT,
                "network": subject.name,
                "contract": subject.contract,
                "options": {key: str(v) if isinstance(v, Path) else v for key, v in options.items()},
                "rows": [row_as_json(row) for row in rows],
            },
            indent=1,
            allow_nan=False,
        )
        + "\n"
    )


def row_as_json(row: "Row") -> dict[str, Any]:
    """A row as plain data: `values` has [value, low, high] by metric."""
    return {
        "task": row.task,
        "set": row.set,
        "subset": row.subset,
        "faces": row.faces,
        "persons": row.persons,
        "labelled_by": row.labelled_by,
        "metric": row.metric,
        "not_official": row.deviation,
        "better_than_trivial": row.better,
        "values": {
            name: [_number(found.value), _number(found.low), _number(found.high)]
            for name, found in row.values.items()
        },
        "trivial": {name: _number(value) for name, value in row.trivial.items()},
        "published": {
            name: [{"method": one.method, "value": one.value, "source": one.source} for one in there]
            for name, there in {row.metric: row.published, **row.by_label}.items()
            if there
        },
    }


def as_markdown(rows: Sequence["Row"]) -> str:
    """One table of what each task is judged by, one of the other metrics, and one a task of its labels."""
    main = [
        [
            row.task,
            row.place,
            f"{row.faces:,}" + (f" of {row.persons:,} persons" if row.persons else ""),
            row.metric,
            _estimate(row, row.metric),
            shown(row.task, row.metric, row.trivial[row.metric]),
            {True: "yes", False: "no", None: "-"}[row.better],
            f"not the official protocol: {row.deviation}"
            if row.deviation
            else _published(row, row.metric, row.published),
            row.labelled_by,
        ]
        for row in rows
    ]
    parts = [
        table(
            (
                "task",
                "set",
                "faces",
                "metric",
                "this network",
                "trivial",
                "better",
                "published",
                "labelled by",
            ),
            main,
        ),
        "In brackets the 95 % interval (bootstrap over persons where they are known, else over faces). "
        "`trivial`: the best that always the same answer reaches. `better`: the whole interval lies on the "
        "better side of it. `published`: only beside the whole official test part of a set; where the paper "
        "drew that at random (EmotioNet, AgeDB, BIWI), ours is another draw of the same shares.",
    ]
    others = [
        [row.task, row.place, name, _estimate(row, name), shown(row.task, name, row.trivial[name])]
        for row in rows
        for name in row.values
        if "/" not in name and name != row.metric
    ]
    if others:
        parts.append(table(("task", "set", "metric", "this network", "trivial"), others))
    for row in rows:
        by_label = [
            [
                *name.split("/", 1)[::-1],
                _estimate(row, name),
                shown(row.task, name, row.trivial[name]),
                _published(row, name, row.by_label.get(name, ())),
            ]
            for name in row.values
            if "/" in name and not math.isnan(row.values[name].value)
        ]
        if by_label and not row.subset:
            heading = ("label", "metric", "this network", "trivial", "published")
            parts.append(f"{row.task} on {row.place}\n\n{table(heading, by_label)}")
    return "\n\n".join(parts) + "\n"


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


def _estimate(row: "Row", name: str) -> str:
    found: Estimate = row.values[name]
    said = shown(row.task, name, found.value)
    if math.isnan(found.low):
        return said
    number, _, unit = said.partition(" ")
    ends = [shown(row.task, name, end).partition(" ")[0] for end in (found.low, found.high)]
    return f"{number} [{ends[0]}, {ends[1]}] {unit}"


def _published(row: "Row", name: str, there: Sequence[Published]) -> str:
    return (
        "; ".join(f"{one.method} {shown(row.task, name, one.value)} ({one.source})" for one in there) or "-"
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
