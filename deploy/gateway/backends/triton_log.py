"""TritonLog: where all Tritons of a gateway write their logs."""

import os
import sys
from pathlib import Path
from typing import TextIO

from deploy.embedded.errors import CannotStart


class TritonLog:
    """A file, or standard error where `path` is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def open(self) -> None:
        """CannotStart where the file can't be written."""
        if self._path is None:
            return
        try:
            self._file = self._path.open("a")
        except OSError as error:
            raise CannotStart(f"the log {self._path} can't be written: {error.strerror}") from error

    @property
    def sink(self) -> TextIO:
        """What is written into, as long as this is open."""
        return sys.stderr if self._file is None else self._file

    def reopen(self) -> None:
        """Goes on in a new file of the same name, where the old one was moved away; OSError."""
        if self._file is None or self._path is None:
            return
        with self._path.open("a") as new:
            os.dup2(new.fileno(), self._file.fileno())  # those who write hold the file that is open

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
