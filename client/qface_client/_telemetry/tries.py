"""The line that a call has in the log where one of its requests was sent more than once."""

import contextlib
import logging
import time
from collections.abc import Iterator
from contextvars import ContextVar

from .log import LOG, described, one_line


class Tries:
    """Of one call: how many further tries its requests took, and the served model of the last one."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._further = 0
        self._model = ""

    def further(self, model: str) -> None:
        """A request is sent once more."""
        self._further += 1
        self._model = model

    @property
    def to_log(self) -> bool:
        """Whether `log` has a line."""
        return self._further > 0 and LOG.isEnabledFor(logging.INFO)

    def log(self, method: str, *, file: str | None, error: Exception | None) -> None:
        """The call has ended."""
        call = method if file is None else f"{method} of {one_line(file)}"
        end = "answered" if error is None else "failed"
        reason = "" if error is None else f", {described(error)}"
        seconds = time.monotonic() - self._began
        LOG.info(
            "%s: %s %s after %d tries in %.2f s%s", call, self._model, end, self._further + 1, seconds, reason
        )


_CURRENT: ContextVar[Tries | None] = ContextVar("qface_tries", default=None)


@contextlib.contextmanager
def counted_tries() -> Iterator[Tries | None]:
    """Around a call of a client's method; None within another one, whose tries these are too."""
    if _CURRENT.get() is not None:
        yield None
        return
    tries = Tries()
    token = _CURRENT.set(tries)
    try:
        yield tries
    finally:
        _CURRENT.reset(token)


def further_try(model: str) -> None:
    """A request of the call that is under way is sent once more."""
    if (tries := _CURRENT.get()) is not None:
        tries.further(model)
