"""The kinds of answers, one module each: how a network's head becomes the answer that is served.

A kind is found by its module: a file in this folder that defines `KIND` is known everywhere. What training
knows of a kind is in `training.kinds`. Other packages add theirs as entry points of "qface.runtime_kinds".
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from runtime.contract import TaskEntry
from runtime.kinds.base import Kind
from runtime.plugins import plugins

_SHARED = ("base", "expected_error")  # modules that kinds are made of


@functools.cache
def kinds() -> Mapping[str, Kind]:
    """Every kind by its name."""
    found: dict[str, Kind] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if module.name not in _SHARED:
            kind: Kind = importlib.import_module(f"{__name__}.{module.name}").KIND
            found[kind.name] = kind
    for name, kind in plugins("qface.runtime_kinds"):
        if kind.name in found:
            raise ValueError(f"the plugin {name} defines the kind {kind.name} a second time: uninstall it")
        found[kind.name] = kind
    return MappingProxyType(found)


def kind_of(entry: TaskEntry | str) -> Kind:
    """The kind of a task, or the kind of this name; ValueError names the known ones."""
    name = entry if isinstance(entry, str) else entry.kind
    try:
        return kinds()[name]
    except KeyError:
        subject = "" if isinstance(entry, str) else f"task {entry.name!r} is of the "
        raise ValueError(f"{subject}unknown kind {name!r}: known are {', '.join(kinds())}") from None
