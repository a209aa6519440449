"""Tasks of one's own, without a change of this code: a TOML file that adds to the catalogue.

    [glasses]
    kind = "classes"
    labels = ["none", "glasses", "sunglasses"]

A table is a task, and its fields are those of training.task_type.Task; what a kind usually has may be left
out (unit, queries, loss, metric). Its definition travels in the prepared sets that label it, and in the
checkpoints that learned it: only `training.data` needs the file.
"""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.kinds import kinds
from training.kinds.base import Kind
from training.kinds.forms import QueryAnswer
from training.task_type import InvalidTask, Task, wrong_types
from training.tasks import BUILT_IN, CATALOGUE

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")  # it becomes part of tensors' names
# Names that mean something else where a task's name stands: columns of tables (training.data.own.columns),
# and tensors of networks and of served models (build.serving.tensors), whose T_error is how far T may be off.
RESERVED = frozenset(
    (
        *("path", "bytes", "split", "person", "box", "five_points", "x0", "y0", "x1", "y1"),
        *("pixels", "image", "crop", "crop_to_photo", "photo_size", "contract", "boxes", "scores"),
        *("faces_found", "smallest_face", "faces_below_quality"),
    )
)
# What a file may say of a task. Weak labels are the catalogue's own.
_FIELDS = tuple(f.name for f in dataclasses.fields(Task) if f.name not in ("name", "implied_by"))
_ORIGINS: dict[str, str] = {}  # task -> what defined it, of those that are not built in


def adopt(task: Task, *, origin: str, replace: bool = False) -> None:
    """Adds a task that `origin` (a file, a prepared set, a checkpoint) defines to the catalogue.

    One that is there stays, or with `replace` takes the other fields where it is not built in. ValueError
    where the two differ in kind, labels or queries: answers would change places silently.
    """
    known = CATALOGUE.setdefault(task.name, task)
    if known is task:
        _ORIGINS[task.name] = origin
    if (known.kind, known.labels, known.queries) != (task.kind, task.labels, task.queries):
        whose, way_out = "the catalogue", "give it another name"
        if task.name not in BUILT_IN:
            whose = _ORIGINS.get(task.name, "this program")
            way_out = "give one of them another name, or leave one of the two out"
        raise ValueError(
            f"{origin} has a task {task.name!r} with other labels or of another kind than {whose} has: "
            + way_out
        )
    if replace and task.name not in BUILT_IN:
        CATALOGUE[task.name], _ORIGINS[task.name] = task, origin


def adopt_file(path: Path) -> tuple[Task, ...]:
    """Adds a file's tasks to the catalogue and returns them; ValueError names every fault of the file.

    A task that is there already has to have the same kind and labels, and takes the file's other fields.
    """
    tasks = read_tasks(path)
    for task in tasks:
        adopt(task, origin=str(path), replace=True)
    return tasks


def classes_task(name: str, labels: Sequence[str]) -> Task:
    """A task of which each face has one of `labels`; ValueError for a name or labels that can't be."""
    kind = next(name for name, kind in kinds().items() if kind.exclusive)
    task, faults = _understood(name, {"kind": kind, "labels": list(labels)})
    if task is None or faults:
        raise ValueError(f"{name!r} can't be a task: {faults[0]}")
    return task


def read_tasks(path: Path) -> tuple[Task, ...]:
    """The tasks of a file, in its order; ValueError names all that is wrong with it, a line each."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: name the TOML file of your tasks") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read ({error}): give a TOML file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML ({error}): a task is a table, [name], with its fields") from None
    if not tables:
        raise ValueError(f'{path} has no task: write one as a table, [name] with kind = "..." and labels')
    read = {name: _understood(name, table) for name, table in tables.items()}
    tasks = {name: task for name, (task, _) in read.items() if task is not None}
    faults = {name: found for name, (_, found) in read.items()}
    for name, task in tasks.items():
        faults[name] += _broken_links(task, known={**CATALOGUE, **tasks}, unclear=read.keys() - tasks.keys())
    lines = [f"  [{name}]: {fault}" for name, found in faults.items() for fault in sorted(found)]
    if lines:
        raise ValueError(f"{path} can't be used:\n" + "\n".join(lines))
    return tuple(tasks.values())


def definitions(names: Iterable[str]) -> dict[str, Any]:
    """Of these tasks, those that are not built in, as `adopt_definitions` reads them."""
    return {name: CATALOGUE[name].to_json() for name in names if name not in BUILT_IN}


def adopt_definitions(
    entries: Mapping[str, Any], *, labels: Mapping[str, Iterable[str]], origin: str
) -> None:
    """Adds tasks that a prepared set defines; `labels` are the set's, by task. ValueError as `adopt`."""
    for name, fields in entries.items():
        try:
            task = Task.from_json(fields, name=name, labels=tuple(labels[name]))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{origin} defines a task {name!r} that can't be read ({error})") from None
        adopt(task, origin=origin)


def _understood(name: str, table: Any) -> tuple[Task | None, list[str]]:
    """The task of a table, None where none can be made of it; and all that is wrong with the table."""
    if not isinstance(table, dict):
        return None, [
            f"it is {table!r} and no table: write [{name}] in a line of its own, and its fields below"
        ]
    faults = _wrong_name(name)
    for field in table.keys() - set(_FIELDS):
        near = difflib.get_close_matches(field, _FIELDS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        faults.append(f"there is no field {field!r}{hint}: it may have {', '.join(_FIELDS)}")
    wrong = wrong_types({field: table[field] for field in table.keys() & set(_FIELDS)})
    faults += [fault for field, fault in wrong.items() if field not in ("kind", "labels")]
    stated = {field: value for field, value in table.items() if field in _FIELDS and field not in wrong}
    kind = kinds().get(stated.get("kind", ""))
    if kind is None:
        faults.append(f"kind is {table.get('kind')!r}: choose from {', '.join(kinds())}")
    labels = stated.get("labels")
    if not labels:
        faults.append('labels is no list of names: write labels = ["one", "two"]')
    elif blank := [label for label in labels if not label.strip() or not label.isprintable()]:
        faults.append(f"a label is {blank[0]!r}: give it a name that can be read")
    if kind is None or not labels:
        return None, faults
    if not kind.unit and "unit" not in table:
        faults.append(f'a task of the kind {kind.name} has a unit: write unit = "..."')
    faults += _misfits(kind, labels, stated)
    if name in BUILT_IN and (kind.name, tuple(labels)) != (CATALOGUE[name].kind, CATALOGUE[name].labels):
        faults.append("the catalogue has another task of this name: give yours another one")
    try:
        return _task(name, stated), faults
    except InvalidTask as error:
        return None, [*faults, *error.faults]


def _wrong_name(name: str) -> list[str]:
    if not _NAME.fullmatch(name):
        return ["a task's name has small letters, digits and _, and begins with a letter"]
    if name not in BUILT_IN and (name in RESERVED or name.endswith("_error")):
        return ["a column of tables or a tensor of models is called so already: give the task another name"]
    return []


def _broken_links(task: Task, *, known: Mapping[str, Task], unclear: Container[str]) -> list[str]:
    """What is wrong with what a task says of others, but of those that are `unclear` themselves."""
    others = {"aligned_to": task.aligned_to, "frontal_by": task.frontal_by}
    others = {field: other for field, other in others.items() if other}
    if task.derived_from is not None:
        others["derived_from"] = task.derived_from[0]
    faults = [
        f"{field} names the task {other!r}, which neither the catalogue nor this file has: choose from "
        f"{', '.join(known)}"
        for field, other in others.items()
        if other not in known and other not in unclear
    ]
    ahead = known.get(task.frontal_by)
    if ahead is not None and not kinds()[ahead.kind].is_rotation:
        faults.append(
            f"frontal_by is {ahead.name}, whose kind is {ahead.kind}: name a task of the head's rotation"
        )
    if task.derived_from is not None and (source := known.get(task.derived_from[0])) is not None:
        faults += _not_derived(task, source, label=task.derived_from[1])
    if task.aligned_labels and (points := known.get(task.aligned_to)) is not None:
        if kinds()[points.kind].query_answer is not QueryAnswer.POINT:
            faults.append(f"aligned_to is {points.name}, whose kind is {points.kind}: name a task of points")
        elif wrong := {
            label: index
            for label, index in task.aligned_labels.items()
            if index is not None and not 0 <= index < len(points.labels)
        }:
            faults.append(
                f"aligned_labels has {wrong}: {points.name} has points 0 to {len(points.labels) - 1}"
            )
    return faults


def _not_derived(task: Task, source: Task, *, label: str) -> list[str]:
    """A fault where the classes of a task can't follow from another task's labels: tried with no face."""
    kind = kinds()[source.kind]
    try:
        none = np.zeros((0, *kind.column_shape(source)), np.float32)
        shape = kind.derived(source, none, task=task, label=label).shape[1:]
        if shape == kinds()[task.kind].column_shape(task):
            return []
    except ValueError:
        pass
    return [
        f"derived_from is {[source.name, label]}, and its labels don't follow from these: name a label of a "
        'multilabel task for two classes, or ["TASK", ""] of a task with one number for ranges'
    ]


def _misfits(kind: Kind, labels: Sequence[str], table: Mapping[str, Any]) -> list[str]:
    """What of a table does not fit its kind, a sentence each."""
    found = []
    fewest, most = kind.label_count
    if not fewest <= len(labels) <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} or more"
        found.append(f"labels are {len(labels)}: a task of the kind {kind.name} has {wanted}")
    queries = kind.usual_queries(labels)
    if table.get("queries", queries) != queries:
        found.append(f"queries is {table['queries']}: leave it out, it is {queries}")
    if table.get("mirror") and not kind.has_sides:
        found.append(f"mirror is given, and a task of the kind {kind.name} has no sides: leave it out")
    metrics = [metric.name for metric in kind.metrics]
    for field, choices in (("loss", list(kind.losses)), ("metric", metrics)):
        if table.get(field, choices[0]) not in choices:
            found.append(f"{field} is {table[field]!r}: choose from {', '.join(choices)}")
    if unknown := [name for name in table.get("more_metrics", ()) if name not in metrics]:
        found.append(f"more_metrics has {unknown[0]!r}: choose from {', '.join(metrics)}")
    if not table.get("unit", "it").strip():
        found.append('unit is empty: write unit = "..."')
    return found


def _task(name: str, table: Mapping[str, Any]) -> Task:
    kind, labels = kinds()[table["kind"]], tuple(table["labels"])
    usual = {
        "unit": kind.unit,
        "queries": kind.usual_queries(labels),
        "loss": next(iter(kind.losses)),
        "metric": kind.metrics[0].name,
    }
    stated = {field: value for field, value in table.items() if field != "labels"}
    return Task.from_json({**usual, **stated}, name=name, labels=labels)
