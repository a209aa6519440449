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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.kinds import kinds
from training.kinds.base import Kind
from training.task_type import Task
from training.tasks import BUILT_IN, CATALOGUE

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")  # it becomes part of tensors' names
# What a file may say of a task. Weak labels are the catalogue's own.
_FIELDS = tuple(f.name for f in dataclasses.fields(Task) if f.name not in ("name", "implied_by"))


def adopt(task: Task, *, origin: str, replace: bool = False) -> None:
    """Adds a task that `origin` (a file, a prepared set, a checkpoint) defines to the catalogue.

    One that is there stays, or with `replace` takes the other fields where it is not built in. ValueError
    where the two differ in kind, labels or queries: answers would change places silently.
    """
    known = CATALOGUE.setdefault(task.name, task)
    if (known.kind, known.labels, known.queries) != (task.kind, task.labels, task.queries):
        whose = "the catalogue" if task.name in BUILT_IN else "another file, set or checkpoint"
        raise ValueError(
            f"{origin} has a task {task.name!r} with other labels or of another kind than {whose} has: "
            "give one of them another name"
        )
    if replace and task.name not in BUILT_IN:
        CATALOGUE[task.name] = task


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
    table = {"kind": kind, "labels": list(labels)}
    if faults := _faults(name, table):
        raise ValueError(f"{name!r} can't be a task: {faults[0]}")
    return _task(name, table)


def read_tasks(path: Path) -> tuple[Task, ...]:
    """The tasks of a file, in its order; ValueError names all that is wrong with it, a line each."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: name the TOML file of your tasks") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read ({error}): give a TOML file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML ({error}): a task is a table, [name], with its fields") from None
    if not tables:
        raise ValueError(f'{path} has no task: write one as a table, [name] with kind = "..." and labels')
    tasks: list[Task] = []
    faults: list[str] = []
    for name, table in tables.items():
        found = _faults(name, table)
        if not found:
            try:
                tasks.append(_task(name, table))
            except (ValueError, TypeError) as error:
                found = [str(error)]
        faults += [f"[{name}]: {fault}" for fault in found]
    if faults:
        raise ValueError(f"{path} can't be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    return tuple(tasks)


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


def _faults(name: str, table: Any) -> list[str]:
    """What is wrong with a table, before a task is made of it."""
    if not isinstance(table, dict):
        return [f"it is {table!r} and no table: write [{name}] in a line of its own, and its fields below"]
    faults = []
    if not _NAME.fullmatch(name):
        faults.append("a task's name has small letters, digits and _, and begins with a letter")
    for field in table.keys() - set(_FIELDS):
        near = difflib.get_close_matches(field, _FIELDS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        faults.append(f"there is no field {field!r}{hint}: it may have {', '.join(_FIELDS)}")
    kind = kinds().get(table.get("kind", ""))
    if kind is None:
        faults.append(f"kind is {table.get('kind')!r}: choose from {', '.join(kinds())}")
    labels = table.get("labels")
    if not (isinstance(labels, list) and labels and all(isinstance(label, str) for label in labels)):
        faults.append('labels is no list of names: write labels = ["one", "two"]')
    elif blank := [label for label in labels if not label.strip() or not label.isprintable()]:
        faults.append(f"a label is {blank[0]!r}: give it a name that can be read")
    elif kind is not None:
        faults += _misfits(kind, labels, table)
    if (
        name in BUILT_IN
        and kind is not None
        and isinstance(labels, list)
        and (kind.name != CATALOGUE[name].kind or labels != list(CATALOGUE[name].labels))
    ):
        faults.append("the catalogue has another task of this name: give yours another one")
    return sorted(faults)


def _misfits(kind: Kind, labels: Sequence[str], table: Mapping[str, Any]) -> list[str]:
    """What of a table does not fit its kind, a sentence each."""
    found = []
    fewest, most = kind.label_count
    if not fewest <= len(labels) <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} or more"
        found.append(f"labels are {len(labels)}: a task of the kind {kind.name} has {wanted}")
    if not kind.unit and "unit" not in table:
        found.append(f'a task of the kind {kind.name} has a unit: write unit = "..."')
    queries = kind.usual_queries(labels)
    if table.get("queries", queries) != queries:
        found.append(f"queries is {table['queries']}: leave it out, it is {queries}")
    if table.get("mirror") and not kind.has_sides:
        found.append(f"mirror is given, and a task of the kind {kind.name} has no sides: leave it out")
    metrics = [metric.name for metric in kind.metrics]
    for field, choices in (("loss", list(kind.losses)), ("metric", metrics)):
        if table.get(field, choices[0]) not in choices:
            found.append(f"{field} is {table[field]!r}: choose from {', '.join(choices)}")
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
