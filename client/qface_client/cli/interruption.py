"""How signals end a command: Ctrl-C and SIGTERM as exceptions, so that nothing is left behind."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM; whatever is done at Ctrl-C is done for it too."""


@contextlib.contextmanager
def terminations_raised() -> Iterator[None]:
    """SIGTERM raises Terminated within, unless whoever calls has a handler for it."""
    of_main_thread = threading.current_thread() is threading.main_thread()
    if not of_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_at_once_from_now_on() -> None:
    """Another Ctrl-C ends the process: what was to be kept is kept, threads of calls need no longer end."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _terminate(number: int, frame: Any) -> NoReturn:
    raise Terminated
