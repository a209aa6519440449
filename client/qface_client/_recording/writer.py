"""The writer of a recording: a line a request at once, the file's own name at the end."""

import contextlib
import os
import secrets
import threading
from pathlib import Path
from typing import IO

from .._exchange.steps import Infer, ReadModel, Reply
from .._telemetry import LOG
from ..contract import ModelInfo
from ..errors import ConnectError, InvalidInput, QFaceError, RequestTimeout, ServerBusy
from .lines import HEADER, outcome_to_json, request_to_json, to_line

# Of one moment, not of what was sent: a replay would never get over them.
_PASSING = (ConnectError, RequestTimeout, ServerBusy)


class Writer:
    """Writes how requests end. Thread-safe; it keeps nothing but the open file.

    The lines go to `PATH.xxxxxxxx.part`, which takes the place of PATH at `close`: a run that is killed
    leaves what it has there, and an older recording as it was. Raises InvalidInput where it can't be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._part = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.part")
        self._lock = threading.Lock()
        self._older = _identity(self._path)
        self._empty = True
        try:
            self._file: IO[bytes] | None = self._part.open("xb", buffering=0)
            self._file.write(to_line(HEADER))
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, step: ReadModel | Infer, outcome: ModelInfo | Reply | QFaceError) -> None:
        """Write how a request ended; what another try may mend is left out."""
        if isinstance(outcome, _PASSING):
            return
        line = to_line(request_to_json(step) | outcome_to_json(outcome))
        with self._lock:
            if self._file is None:  # a call that was under way when the client was closed
                return
            try:
                self._file.write(line)
            except OSError as error:
                raise self._unwritable(error) from error
            self._empty = False

    def close(self) -> None:
        """Give the file its name; where nothing was answered there is none."""
        with self._lock:
            if self._file is None:
                return
            self._file.close()
            self._file = None
        try:
            if self._empty:
                self._part.unlink()
                return
            if _identity(self._path) != self._older:
                LOG.warning(
                    "%s was written by another recorder meanwhile, whose answers are lost: use one a file",
                    self._path,
                )
            self._part.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from error

    def __del__(self) -> None:
        # What was written stays under its own name: nobody has called the recording complete.
        if (file := getattr(self, "_file", None)) is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _unwritable(self, error: OSError) -> InvalidInput:
        return InvalidInput(
            f"the recording {self._path} can't be written ({error.strerror or error}): check its folder"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
