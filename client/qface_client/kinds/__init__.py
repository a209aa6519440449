"""The kinds of answers: one module each, found by itself.

A module defines KIND. A task that this client has never heard of is read by its kind.
"""

import importlib
import pkgutil

from .base import Kind

__all__ = ["KINDS", "Kind"]


def _found() -> dict[str, Kind]:
    modules = (
        importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__)
    )
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in kinds}


KINDS: dict[str, Kind] = _found()
