"""Spans: what traced requests took, as lines that go to the process which exports them.

A line is JSON: the fields of a `Span` in order, or a number, that of the spans that were lost before it.
Who sends never waits: what the other side does not take is dropped and counted.
"""

import contextlib
import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

# The variable with the path of the socket that takes lines; where it is missing nothing is traced.
SOCKET = "QFACE_SPANS"
# The parameter of a request to a model, and the header of a call, that name the span it belongs to.
TRACEPARENT = "traceparent"

INTERNAL, SERVER, CLIENT = "internal", "server", "client"  # kinds of a span

_BACKLOG = 64 * 1024  # bytes that wait for the other side
_RECONNECT_SECONDS = 1.0
_SAMPLED = 1
_VALUE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

Attributes = Mapping[str, bool | int | float | str]


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """Which trace, and which span of it; both in hexadecimal, 32 and 16 digits."""

    trace: str
    span: str

    def child(self) -> "Context":
        """A new span of the same trace."""
        return Context(self.trace, new_id(8))

    def header(self) -> str:
        """The value of `traceparent`, of a trace that is recorded (W3C Trace Context, section 3.2)."""
        return f"00-{self.trace}-{self.span}-{_SAMPLED:02x}"


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """One thing that took time.

    parent        the id of the span around it; "" for the first of a trace
    kind          INTERNAL, SERVER or CLIENT
    begin, end    in nanoseconds of the wall clock
    error         a word for what failed; "" where nothing did
    """

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    begin: int
    end: int
    error: str
    attributes: Attributes

    def line(self) -> bytes:
        """As it is sent."""
        fields = [getattr(self, field) for field in self.__slots__]
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def read_line(line: bytes) -> Span | int:
    """A span, or a number of lost ones; ValueError for anything else."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        read = None
    match read:
        case int(lost):
            return lost
        case [
            str(trace),
            str(own),
            str(parent),
            str(name),
            str(kind),
            int(begin),
            int(end),
            str(error),
            dict(attributes),
        ]:
            return Span(trace, own, parent, name, kind, begin, end, error, attributes)
    raise ValueError("a line is neither a span nor a number")


def read_header(value: str) -> tuple[Context, bool] | None:
    """What a `traceparent` names, and whether its trace is recorded; None for what is none.

    By W3C Trace Context: an unknown version is read as far as it is known, ids of zeros are none.
    """
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace.strip("0") or not span.strip("0"):
        return None
    return Context(trace, span), bool(int(flags, 16) & _SAMPLED)


def new_id(size: int) -> str:
    """A random id of so many bytes, in hexadecimal."""
    return os.urandom(size).hex()


class SpanSender:
    """Sends spans to the socket at `path`. For one thread; `send` returns at once and raises nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._try_at = 0.0
        self._waiting = bytearray()
        self._lost = 0

    def send(self, span: Span) -> None:
        """Sends a span, or drops it where too many wait already."""
        if len(self._waiting) > _BACKLOG:
            self._lost += 1
        else:
            if self._lost:
                self._waiting += b"%d\n" % self._lost
                self._lost = 0
            self._waiting += span.line()
        self._flush()

    def close(self) -> None:
        """Ends the connection; what waits is lost."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _flush(self) -> None:
        if self._socket is None and not self._connect():
            return
        assert self._socket is not None
        try:
            del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # the other side has ended: what it had of a line is nobody's any more
            self._socket.close()
            self._socket = None
            self._lost += self._waiting.count(b"\n")
            self._waiting.clear()

    def _connect(self) -> bool:
        if time.monotonic() < self._try_at:
            return False
        self._try_at = time.monotonic() + _RECONNECT_SECONDS
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(OSError):
            connection.connect(self._path)
            self._socket = connection
            return True
        connection.close()
        return False


def sender_of_environment(variables: Mapping[str, Any] = os.environ) -> SpanSender | None:
    """A sender to the socket that the variables name; None where they name none."""
    path = variables.get(SOCKET)
    return SpanSender(path) if path else None
