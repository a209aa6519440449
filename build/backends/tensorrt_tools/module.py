"""TensorRT's Python module, whichever package brought it."""

import importlib
import importlib.metadata
import sys
from typing import Any

_MODULES = ("tensorrt", "tensorrt_bindings")


def tensorrt_module() -> Any:
    """`tensorrt`, else `tensorrt_bindings`; ImportError or OSError where neither can be loaded.

    The package `tensorrt` re-exports the bindings and brings TensorRT's libraries, 2 GB. In the container
    Triton's image has the libraries, and the bindings alone are installed.
    """
    try:
        return importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        if error.name != "tensorrt":  # it is there, and lacks something
            raise
        try:
            return importlib.import_module("tensorrt_bindings")
        except ModuleNotFoundError:
            raise error from None


def tensorrt_version(expected: str) -> str | None:
    """The version of TensorRT's module; None where there is none.

    A gateway asks at each start: where an installed package's own record names the expected one, the module,
    with its hundreds of megabytes of libraries, is not loaded for it.
    """
    if not any(name in sys.modules for name in _MODULES):
        distributions = importlib.metadata.packages_distributions()
        installed = {name for module in _MODULES for name in distributions.get(module, ())}
        if any(importlib.metadata.version(name) == expected for name in installed):
            return expected
    try:
        return str(tensorrt_module().__version__)
    except ImportError:
        return None
