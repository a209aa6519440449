"""Types with a name of their own are shown by it: `Photo` rather than the eight types that it stands for."""

import functools
import inspect
import operator
import sys
import types
from typing import Any, ForwardRef, get_args, get_origin

from qface_client import _photos


class Named:
    """An annotation that is shown as its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """typing takes what can be called for a type."""


ALIASES: dict[Any, Named] = {_photos.Photo: Named("Photo"), _photos.Crops: Named("Crops")}


def name_aliases(package: str) -> None:
    """Put the names in the place of the types, in every loaded module of a package."""
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == package]:
        for member in vars(module).values():
            for owner in (member, *(vars(member).values() if inspect.isclass(member) else ())):
                function = inspect.unwrap(owner) if callable(owner) else owner
                for annotated in {id(each): each for each in (owner, function)}.values():
                    annotations = getattr(annotated, "__annotations__", None)
                    if isinstance(annotations, dict):
                        annotations.update({name: _named(found) for name, found in annotations.items()})


def _named(annotation: Any) -> Any:
    key = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
    if isinstance(key, str):
        return ALIASES.get(key, annotation)
    parts = get_args(annotation)
    named = tuple(_named(part) for part in parts)
    if all(part is new for part, new in zip(parts, named, strict=True)):
        return annotation
    if isinstance(annotation, types.UnionType):
        return functools.reduce(operator.or_, named)
    return get_origin(annotation)[named]
