"""What executes the exported network on a CPU: every module of this package is one engine.

A module defines `NAME`, by which the served model's parameters name it, and
`load(directory, parameters) -> Engine`. No list names it.
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from numpy.typing import NDArray


class Engine(Protocol):
    """A network that is loaded."""

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The named outputs (None: all) for named inputs."""


@functools.cache
def engines() -> dict[str, ModuleType]:
    """The modules of this package by their names for the served model's parameters."""
    found = [
        importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    return {module.NAME: module for module in found}


def load_engine(directory: Path, parameters: Mapping[str, str]) -> Engine:
    """The network in a version directory, as the served model's parameters describe it.

    Those are `runtime` (an engine's name), `file`, `precision`, `threads` (0: every core) and `streams`.
    Raises ValueError for an unknown engine.
    """
    name = parameters["runtime"]
    if name not in engines():
        raise ValueError(f"The engine {name!r} is unknown; use one of {', '.join(engines())}.")
    return cast(Engine, engines()[name].load(directory, parameters))
