"""The ready file: exists while requests are welcome, for probes that look at files."""

import contextlib
import re
import tempfile
from pathlib import Path

from build.files import replace_file
from deploy.embedded.errors import CannotStart

_ADDRESS = re.compile(rb"(\S+:\d{1,5}\n?)?")  # all that is written; nothing, where a run ended before that
_LONGEST = 512  # bytes of it


def unwritable(path: Path, error: OSError) -> str:
    """The sentence for a place where no ready file can be."""
    return f"the ready file {path} can't be written: {error.strerror}; name another place"


class ReadyFile:
    """A file with the gRPC address in it; None is no file, and nothing is done."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def prepare(self) -> None:
        """Removes what another run left, which misleads probes.

        CannotStart where none can be written, or where another file would be lost.
        """
        if self._path is None:
            return
        try:
            if self._path.exists() and not self._is_ready_file(self._path):
                raise CannotStart(
                    f"the ready file {self._path} is there already and is none of this program's: "
                    "name another place, or remove it"
                )
            self._path.unlink(missing_ok=True)
            with tempfile.TemporaryFile(dir=self._path.parent):  # long before it is wanted
                pass
        except OSError as error:
            raise CannotStart(unwritable(self._path, error)) from error

    @staticmethod
    def _is_ready_file(path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _ADDRESS.fullmatch(file.read(_LONGEST)) is not None

    def write(self, address: str) -> None:
        """OSError where its place has gone meanwhile, or is full: then there is none."""
        if self._path is not None:
            # For probes of other users: there is nothing secret in it.
            replace_file(self._path, f"{address}\n".encode(), mode=0o644)

    def remove(self) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
