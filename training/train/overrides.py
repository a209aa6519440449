"""`--set field=value`: a run's fields changed from the command line, held to their types.

A field whose name changed keeps the former one in what is recorded (`RECORDED_AS` in its metadata), and
`--set` takes both.
"""

import dataclasses
import types
import typing
from collections.abc import Container, Iterable, Mapping
from typing import Any, TypeVar

from training.plain_data import plain

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORDED_AS = "recorded_as"  # in a field's metadata: the field's name in states, cards and commands
# In a field's metadata, {name: {value: value}}: a field that there was before it, and what that one's values
# are of this one. `--set` takes it.
FORMERLY = "formerly"

T = TypeVar("T")
# Fields to change, by name: a value as text, or the fields below.
Tree = dict[str, "str | Tree"]


def overridden(run: T, assignments: Iterable[str]) -> T:
    """`run` (a dataclass) with fields changed: `steps=100`, `model.drop_path=0.1`, `weights.age=2`.

    A dot leads into a dataclass, a dict, or a tuple of dataclasses by their `name`; those that have a
    `from_text` are written as that says. Lists are separated by commas; `none` empties an optional field and
    a list. All are changed at once, so that their order does not matter.
    Raises ValueError for an unknown field, a wrong type, and what the dataclasses refuse.
    """
    tree: Tree = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        *parents, field = name.strip().split(".")
        if not equals or not all([*parents, field]):
            raise ValueError(f"--set {assignment} is no field=value: write for example --set steps=100")
        place = tree
        for parent in parents:
            below = place.setdefault(parent, {})
            if isinstance(below, str):
                raise ValueError(f"--set {assignment}: {parent} was set as a whole already")
            place = below
        if isinstance(place.get(field), dict):
            raise ValueError(f"--set {assignment}: parts of {field} were set already")
        place[field] = text.strip()
    changed: T = _changed(run, type(run), tree, path="")
    return changed


def recorded(run: "DataclassInstance") -> dict[str, Any]:
    """A run's fields as plain data (training.plain_data), by the names that they are recorded as."""
    fields = plain(run)
    return {
        _recorded_name(field): fields[field.name] for field in dataclasses.fields(run) if field.name in fields
    }


def _changed(value: Any, kind: Any, tree: "str | Tree", *, path: str) -> Any:
    """`value` of type `kind` after the changes below `path`."""
    if isinstance(tree, str):
        return _parsed(kind, tree, path=path)
    inner = _without_none(kind)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = type(value)  # of several that a field may hold, the one that is there
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        hints = typing.get_type_hints(inner)
        tree = _in_present_fields(tree, dataclasses.fields(inner), path=path)
        names = [field.name for field in dataclasses.fields(inner)]
        spellings = {_recorded_name(field): field.name for field in dataclasses.fields(inner)}
        _check_known(tree, names, path=path, former=spellings)
        fields = {}
        for spelling, below in tree.items():
            name = spellings.get(spelling, spelling)
            current = getattr(value, name, None)
            fields[name] = _changed(current, hints[name], below, path=_below(path, spelling))
        try:
            return inner(**fields) if value is None else dataclasses.replace(value, **fields)
        except TypeError:
            needed = ", ".join(field.name for field in dataclasses.fields(inner) if _is_needed(field))
            raise ValueError(f"--set {path}: it needs all of {needed}") from None
    if isinstance(value, Mapping):
        item = typing.get_args(inner)[1]
        below = {
            name: _changed(value.get(name), item, t, path=_below(path, name)) for name, t in tree.items()
        }
        return {**value, **below}
    if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        _check_known(tree, [item.name for item in value], path=path)
        return tuple(
            _changed(item, type(item), tree[item.name], path=_below(path, item.name))
            if item.name in tree
            else item
            for item in value
        )
    raise ValueError(f"--set {_below(path, next(iter(tree)))}: {path} has no fields of its own")


def _parsed(kind: Any, text: str, *, path: str) -> Any:
    if text.lower() == "none" and _without_none(kind) is not kind:
        return None
    kind = _without_none(kind)
    items = typing.get_args(kind) if typing.get_origin(kind) is tuple else ()
    if items and (from_text := getattr(items[0], "from_text", None)) is not None:
        return tuple(map(from_text, [] if text.lower() == "none" else text.split(",")))
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind in (int, float):
            return kind(text)
        if kind is str:
            return text
        if items and not dataclasses.is_dataclass(items[0]):
            words = [word.strip() for word in text.split(",") if word.strip()]
            if len(items) == 2 and items[1] is Ellipsis:
                words = [] if text.lower() == "none" else words
                return tuple(_parsed(items[0], word, path=path) for word in words)
            return tuple(_parsed(item, word, path=path) for item, word in zip(items, words, strict=True))
    except (ValueError, KeyError):
        raise ValueError(f"--set {path}: {text!r} is no {_type_name(kind)}") from None
    raise ValueError(f"--set {path} takes no value of its own: set a part of it, as {path}.PART=...")


def _in_present_fields(tree: Tree, fields: Iterable["dataclasses.Field[Any]"], *, path: str) -> Tree:
    """A tree without fields that there are no more (`FORMERLY`)."""
    tree = dict(tree)
    for field in fields:
        for name, values in field.metadata.get(FORMERLY, {}).items():
            if name not in tree:
                continue
            value = tree.pop(name)
            if not isinstance(value, str) or value.lower() not in values:
                raise ValueError(f"--set {_below(path, name)}: {value!r} is not one of {', '.join(values)}")
            if field.name in tree:
                raise ValueError(
                    f"--set {_below(path, name)}: {field.name}, which it is now, was set already"
                )
            tree[field.name] = values[value.lower()]
    return tree


def _check_known(tree: Tree, names: list[str], *, path: str, former: Container[str] = ()) -> None:
    for name in tree:
        if name not in names and name not in former:
            raise ValueError(
                f"--set {_below(path, name)}: there is no such field: choose from {', '.join(names)}"
            )


def _recorded_name(field: "dataclasses.Field[Any]") -> str:
    name: str = field.metadata.get(RECORDED_AS, field.name)
    return name


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_needed(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _without_none(kind: Any) -> Any:
    """X of `X | None`, any other type as it is."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        left = [part for part in typing.get_args(kind) if part is not type(None)]
        return left[0] if len(left) == 1 else kind
    return kind


def _type_name(kind: Any) -> str:
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return names.get(kind, "list of this kind")
