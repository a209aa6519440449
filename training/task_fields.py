"""Values as files have them (TOML, JSON) beside the types of a dataclass's fields."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any

# What a value of a type is called, and several of them.
_WORDS: Mapping[Any, tuple[str, str]] = {
    bool: ("true or false", "values of true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
}


def fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a type: a list stands for a tuple, a whole number for a float; NaN is none."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(fits(part, value) for part in parts)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        items = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return len(items) == len(value) and all(map(fits, items, value))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            fits(parts[0], key) and fits(parts[1], item) for key, item in value.items()
        )
    if kind in (int, float) and isinstance(value, bool):
        return False
    if kind is float and isinstance(value, int | float):
        try:
            return not math.isnan(value)
        except OverflowError:  # a whole number that no float can hold
            return False
    return isinstance(value, kind)


def words(kind: Any, *, several: bool = False) -> str:
    """What a value of a type is, for a message: "a list of pairs of texts"."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return words(next(part for part in parts if part is not types.NoneType), several=several)
    if origin is tuple and parts[-1] is not Ellipsis and len(parts) == 2:
        return f"{'pairs' if several else 'a pair'} of {words(parts[0], several=True)}"
    if origin is tuple:
        return f"{'lists' if several else 'a list'} of {words(parts[0], several=True)}"
    if origin is Mapping:
        return f"{'tables' if several else 'a table'} of {words(parts[1], several=True)}"
    return _WORDS[kind][several] if kind in _WORDS else f"a {kind.__name__}"
