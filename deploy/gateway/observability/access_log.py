"""AccessLog: one JSON line a request, for operators.

A line has the fields of `AccessLog.write` and `time` (UTC). It holds numbers, names of the gateway's own
(model, key, tasks, outcome, reason) and two things of the client's: the request's id, cut and freed of
control characters, and the host that it called from, without the port, which tells callers apart where no
keys are used. No picture, no key, no tensor's name or value.

A thread writes, so that a slow disk or a stalled pipe holds up no request. What can't be written is dropped
and counted (`lost`): a full disk never stops the service.
"""

import collections
import datetime
import json
import math
import os
import select
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

STANDARD_OUTPUT = "-"
ID_CHARACTERS = 128
_WAITING_LINES = 20_000
_FLUSH_SECONDS = 0.25
_LOG_SECONDS = 60.0  # between two sentences


class AccessLog:
    """Appends to a file, made anew when it was moved away (logrotate), or to standard output. Several may
    append to one: lines stay whole.

    `destination` is a path, or "-" for standard output. OSError where the file can't be opened at the start.
    `log` gets a sentence while lines can't be written, at most one a minute.
    """

    def __init__(
        self, destination: Path | str, *, log: Callable[[str], None] = lambda sentence: None
    ) -> None:
        self._destination = destination
        self._log = log
        self._log_at = 0.0
        self._path = None if str(destination) == STANDARD_OUTPUT else Path(destination)
        self._waiting: collections.deque[dict[str, object]] = collections.deque()
        self._descriptor: int | None = os.dup(1) if self._path is None else _opened(self._path)
        self._torn = False  # the last write ended inside a line
        self._reopen = False
        self._lost = 0
        self._written = 0
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._follow, name="access log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._lost

    @property
    def written(self) -> int:
        """Lines that were written."""
        return self._written

    def write(
        self,
        *,
        model: str,
        outcome: str,
        code: str,
        id: str = "",  # of the request
        client: str = "",  # the key's or the certificate's name
        peer: str = "",  # the caller's host
        tasks: Sequence[str] = (),  # that were asked for
        reason: str = "",  # of a refusal
        bytes: int = 0,
        megapixels: float = 0.0,
        faces: int = 0,
        queue_ms: float | None = None,
        triton_ms: float | None = None,
        total_ms: float | None = None,
        generation: int | None = None,  # of the Triton that had it last
        trace: str = "",  # the id of its trace, where it has one
    ) -> None:
        """Takes one request's line; returns at once, whatever becomes of it."""
        if len(self._waiting) >= _WAITING_LINES or self._stopped:
            self._lost += 1
            return
        self._waiting.append(
            {
                "time": time.time(),
                "id": safe_text(id, limit=ID_CHARACTERS),
                "model": safe_text(model, limit=ID_CHARACTERS),
                "client": client,
                "peer": safe_text(peer, limit=64),
                "tasks": list(tasks),
                "bytes": bytes,
                "megapixels": _rounded(megapixels),
                "faces": faces,
                "outcome": outcome,
                "code": code,
                "reason": reason,
                "queue_ms": _rounded(queue_ms),
                "triton_ms": _rounded(triton_ms),
                "total_ms": _rounded(total_ms),
                "generation": generation,
                "trace": trace,
            }
        )
        self._wake.set()

    def reopen(self) -> None:
        """Opens the file by its name again, before the next line; for SIGHUP."""
        self._reopen = True

    def close(self, *, timeout: float = 5.0) -> None:
        """Writes what waits, for at most `timeout` seconds, and ends."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout)

    def _follow(self) -> None:
        while not self._stopped:
            self._wake.wait()
            self._wake.clear()
            if not self._stopped:
                time.sleep(_FLUSH_SECONDS)  # many requests share one write
            self._flush()
        self._flush()
        self._release()

    def _flush(self) -> None:
        lines = []
        while self._waiting:
            fields = self._waiting.popleft()
            fields["time"] = _iso(fields["time"])
            lines.append(json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        if not lines:
            return
        block = b"".join(lines)
        sent = 0
        try:
            sent = self._append(block)
        except OSError as error:  # a full disk, a closed pipe, a folder that has gone
            self._reopen = self._path is not None
            self._report(error)
        finally:
            whole = block[:sent].count(b"\n")
            self._written += whole
            self._lost += len(lines) - whole

    def _report(self, error: OSError) -> None:
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + _LOG_SECONDS
            self._log(
                f"the access log {self._destination} can't be written ({error.strerror}): its lines are lost "
                "and counted until it can"
            )

    def _append(self, block: bytes) -> int:
        """Writes as much as goes; returns the number of bytes of `block` that went."""
        descriptor = self._current()
        if self._torn:
            os.write(descriptor, b"\n")
            self._torn = False
        sent = 0
        while sent < len(block):
            # Other processes may write too: an appended file takes a block whole, a pipe so much of it.
            end = len(block) if self._path else block.rfind(b"\n", sent, sent + select.PIPE_BUF) + 1
            try:
                sent += os.write(descriptor, block[sent : end or None])
            except OSError:
                self._torn = sent > 0 and not block[:sent].endswith(b"\n")
                if sent == 0:
                    raise
                break
        return sent

    def _current(self) -> int:
        """The open file, opened again if it was moved away."""
        if self._path is not None and (
            self._reopen or self._descriptor is None or not _is(self._path, self._descriptor)
        ):
            self._release()
            self._descriptor = _opened(self._path)
            self._reopen = False
        if self._descriptor is None:
            raise OSError("the access log is closed")
        return self._descriptor

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def safe_text(text: str, *, limit: int) -> str:
    """What a client sent, as it may stand in a log: at most `limit` characters, each one printable."""
    return "".join(character if character.isprintable() else "?" for character in text[:limit])


def host_of(peer: str) -> str:
    """The host of gRPC's name for a peer, "ipv4:127.0.0.1:5000"."""
    kind, _, address = peer.partition(":")
    return address.rpartition(":")[0] if kind in ("ipv4", "ipv6") else kind


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is(path: Path, descriptor: int) -> bool:
    """Whether the name still leads to the open file; true for what is no plain file (a pipe, a terminal)."""
    opened = os.fstat(descriptor)
    if not stat.S_ISREG(opened.st_mode):
        return True
    try:
        named = path.stat()
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _iso(seconds: object) -> str:
    assert isinstance(seconds, float)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 3)
