"""Measurements as JSON that people can read: floats of five digits, lists of numbers in one line."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LIST = re.compile(r"\[([^\[\]{}]*)\]")  # of values that are no lists themselves


def rounded(value: Any) -> Any:
    """The same plain data with floats of five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def check_types(value: Any, hint: Any, name: str) -> None:
    """ValueError with the name of the first part of a value that is not of its type.

    hint: a dataclass, a class, Any, or a Mapping, Sequence, fixed tuple or union of these
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        if not any(isinstance(value, each) for each in inner):
            raise ValueError(f"{name} is {value!r:.40}")
    elif hint is not Any and not isinstance(value, (int, float) if hint is float else origin or hint):
        raise ValueError(f"{name} is {value!r:.40}")
    elif origin is tuple:
        for index, (each, of) in enumerate(zip(value, inner, strict=True)):
            check_types(each, of, f"{name}[{index}]")
    elif isinstance(value, Mapping) and inner:
        for key, each in value.items():
            check_types(each, inner[1], f"{name}.{key}")
    elif isinstance(value, list | tuple) and inner:
        for index, each in enumerate(value):
            check_types(each, inner[0], f"{name}[{index}]")
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        for field in dataclasses.fields(value):
            check_types(getattr(value, field.name), hints[field.name], f"{name}.{field.name}")


def write_json(value: Any, path: Path) -> None:
    """Keeps plain data, rounded, each list of numbers in a line."""
    text = json.dumps(rounded(value), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_LIST.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")
