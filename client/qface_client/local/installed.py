"""Whether what computes answers is installed here."""

import importlib.util

_COMMAND = '`pip install ./runtime "./client[local]"` in the folder of Q-Face, with Python 3.11 or later'


def require_runtime() -> None:
    """ImportError, in one sentence, where Q-Face's runtime or one of its libraries is not installed."""
    try:
        found = importlib.util.find_spec("runtime.answering")
    except ModuleNotFoundError:
        found = None
    if found is None:
        other = importlib.util.find_spec("runtime")
        if other is not None:
            raise ImportError(
                f"another package is called `runtime` here ({other.origin}), and LocalFaceClient needs "
                f"Q-Face's: in an environment without the other one, install it by {_COMMAND}"
            )
        raise ImportError(f"LocalFaceClient needs Q-Face's runtime: install it by {_COMMAND}")
    try:
        import openvino  # noqa: F401 - the largest of its libraries

        import runtime.answering.heads
        import runtime.answering.photos
        import runtime.answering.rows  # noqa: F401
    except ImportError as error:
        raise ImportError(f"LocalFaceClient can't load {error.name}: install it by {_COMMAND}") from error
