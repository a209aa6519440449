"""Keeps libraries that print and log a lot from the terminal."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def quiet(*names: str) -> Iterator[list[str]]:
    """Nothing that Python prints, logs or warns inside reaches the terminal; yields these loggers' messages.

    Native code that writes to the process's streams is not stopped. What people should see all the same
    goes through `audible`.
    """
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.handlers[:] = [collector]
            logger.propagate = False
            logger.setLevel(logging.INFO)
        try:
            yield collector.messages
        finally:
            for logger, handlers, propagate, level in before:
                logger.handlers[:] = handlers
                logger.propagate = propagate
                logger.setLevel(level)


def audible(log: Callable[[str], None]) -> Callable[[str], None]:
    """`log`, but it prints inside `quiet` too, to where standard output goes now."""
    stream = sys.stdout

    def log_aloud(text: str) -> None:
        with contextlib.redirect_stdout(stream):
            log(text)

    return log_aloud
