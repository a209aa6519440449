"""The server's log: passed on line by line, and read for the reason when a start fails."""

import collections
import errno
import re
import threading
from collections.abc import Iterable
from typing import BinaryIO, TextIO

from deploy.embedded.errors import CannotStart, Crashed, LibraryNotFound, ModelFailed, PortTaken

_LIBRARY = re.compile(r"error while loading shared libraries: (?P<library>[^:]+): (?P<reason>.*)")
_PORT = re.compile(r"failed to start (?P<service>\w+)[^:]*: .*Socket '(?P<address>[^']+)' already in use")
_OPTION = re.compile(r"unrecognized option '(?P<option>[^'=]+)")
# A model's own failure comes before that of the ensembles which rest on it.
_MODEL = (
    re.compile(r"\"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.*)\""),
    re.compile(r"\"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.*)\""),
    re.compile(r"\"Invalid argument: ensemble '?(?P<model>[\w-]+)'? (?P<reason>.*)\""),
    re.compile(r"\"Invalid argument: in ensemble '?(?P<model>[\w-]+)'?,? (?P<reason>.*)\""),
)
_GENERAL = re.compile(r"^error: (?P<reason>.*)")
# A C++ exception that nobody caught: the server or one of its stubs has ended by it.
_CRASH = re.compile(r"\bterminate called (?P<reason>.*)")
_WHAT = re.compile(r"^\s*what\(\): +(?P<reason>.*)")
_TAIL_LINES = 200
_FULL = (errno.ENOSPC, errno.EDQUOT)  # of a disk, where there may be room again


class ServerLog:
    """Copies the server's output to `sink` (None: nowhere) and remembers what explains a failure."""

    def __init__(self, sink: TextIO | None, *, prefix: str = "") -> None:
        self._sink = sink
        self._prefix = prefix
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._lock = threading.Lock()
        self._lost = 0  # lines that found no room since the last one that did
        self._library: str | None = None
        self._port: str | None = None
        self._option: str | None = None
        self._general: str | None = None
        self._crash: str | None = None
        self._models: list[dict[str, str]] = [{} for _ in _MODEL]

    def follow(self, stream: BinaryIO) -> None:
        """Read to the stream's end."""
        self.read(raw.decode(errors="replace").rstrip("\n") for raw in stream)

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._note(line)
            self._pass_on(line)

    def _pass_on(self, line: str) -> None:
        if self._sink is None:
            return
        lost = f"{self._prefix}({self._lost} lines found no room on the disk)\n" if self._lost else ""
        try:
            self._sink.write(_writable(f"{lost}{self._prefix}{line}\n", self._sink))
            self._sink.flush()
            self._lost = 0
        except ValueError:
            self._sink = None
        except OSError as error:
            if error.errno in _FULL:
                self._lost += 1
            else:  # whoever read it is gone; the server shall not block on us
                self._sink = None

    def _note(self, line: str) -> None:
        with self._lock:
            self._tail.append(line)
            if found := _LIBRARY.search(line):
                self._library = self._library or f"{found['library']} ({found['reason'].strip()})"
            elif found := _PORT.search(line):
                self._port = f"{found['address']} ({found['service']})"
            elif found := _OPTION.search(line):
                self._option = found["option"]
            elif found := _GENERAL.search(line):
                self._general = found["reason"]
            elif found := _CRASH.search(line):
                self._crash = self._crash or found["reason"].strip()
            elif self._crash is not None and (found := _WHAT.search(line)):
                self._crash += f" ({found['reason'].strip()})"
            for failed, pattern in zip(self._models, _MODEL, strict=True):
                if found := pattern.search(line):
                    failed.setdefault(found["model"], _in_one_line(found["reason"]))
                    break

    @property
    def tail(self) -> str:
        """The last lines."""
        with self._lock:
            return "\n".join(self._tail)

    @property
    def hopeless(self) -> CannotStart | None:
        """What the server does not get over, though it may hang rather than exit."""
        with self._lock:
            gone = self._library is not None or self._crash is not None
        return self.diagnosis() if gone else None

    def diagnosis(self) -> CannotStart | None:
        """Why a server ended while starting, if its log names a reason."""
        with self._lock:
            if self._library is not None:
                return LibraryNotFound(
                    f"the server does not find the shared library {self._library}: install it, or remake the "
                    "environment with `make clean-venvs .venv-serve`"
                )
            if self._port is not None:
                return PortTaken(
                    f"{self._port} was taken while the server started: choose another port or start again"
                )
            if self._option is not None:
                return CannotStart(f"this server has no option {self._option}: leave it out")
            failed = {name: reason for group in reversed(self._models) for name, reason in group.items()}
            first = next((next(iter(group.items())) for group in self._models if group), None)
            if first is not None:
                name, reason = first
                others = sorted(set(failed) - {name})
                also = f" (so did {', '.join(others)})" if others else ""
                return ModelFailed(
                    f"model {name!r} failed to load{also}: {reason}", model=name, reason=reason
                )
            if self._general is not None:
                return CannotStart(f"the server refused to start: {self._general}")
            if self._crash is not None:
                return Crashed(
                    f"the server or a model's process crashed, terminated {self._crash}: see the server's log"
                )
        return None


def _writable(text: str, sink: TextIO) -> str:
    """The text as the sink's encoding can hold it: a strange character shall not cost the whole log."""
    encoding = getattr(sink, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _in_one_line(reason: str) -> str:
    """Triton's reason without the traceback but for its innermost line of a model's own code."""
    head, _, traceback = reason.partition("\\n\\nAt:\\n")
    head = head.replace("\\n", " ").removeprefix("Internal: ").strip()
    place = traceback.split("\\n")[0].strip()
    return f"{head} at {place}" if place else head
