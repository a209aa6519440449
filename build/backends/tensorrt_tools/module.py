"""TensorRT's Python module, whichever package brought it."""

import importlib
from typing import Any


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
