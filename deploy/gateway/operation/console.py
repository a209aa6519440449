"""What the gateway's processes print, one sentence a line: progress to standard output, the rest to error."""

import contextlib
import sys


def log(sentence: str) -> None:
    """Progress. A standard output that nobody reads any more does not matter."""
    with contextlib.suppress(OSError, ValueError):
        print(f"qface: {sentence}", flush=True)


def note(sentence: str) -> None:
    """What is worth reading where only standard error is kept."""
    with contextlib.suppress(OSError, ValueError):
        print(f"qface: {sentence}", file=sys.stderr, flush=True)


def fail(sentence: str, *, status: int) -> int:
    """A failure; returns `status`, the exit status that goes with it."""
    with contextlib.suppress(OSError, ValueError):
        print(f"qface: {sentence}", file=sys.stderr, flush=True)
    return status
