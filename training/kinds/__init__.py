"""The kinds of answers as training, evaluation and export see them: one module each.

A module of this package that defines `KIND` is a kind, and is found by itself. Its other side, from the
engine's output to the served answer, is the module of the same name in runtime.kinds. Other packages add
theirs as entry points of "qface.training_kinds".

No module here imports torch before a function needs it: data preparation and teachers run without it.
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from runtime.plugins import plugins
from training.kinds.base import Kind

if TYPE_CHECKING:
    from training.task_type import Task


@functools.cache
def kinds() -> Mapping[str, Kind]:
    """Every kind by its name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found: dict[str, Kind] = {module.KIND.name: module.KIND for module in modules if hasattr(module, "KIND")}
    for name, kind in plugins("qface.training_kinds"):
        if kind.name in found:
            raise ValueError(f"the plugin {name} defines the kind {kind.name} a second time: uninstall it")
        found[kind.name] = kind
    return MappingProxyType(found)


def kind_of(task: "Task") -> Kind:
    """The kind of a task."""
    return kinds()[task.kind]
