"""A file that appears under its name when it is finished."""

import contextlib
import os
from pathlib import Path

from ...errors import InvalidInput
from .. import output


class WholeFile:
    """The path to write to until `keep` gives it its name, or `discard` removes it.

    A name that is no regular file (a pipe, a device) is written to as it is. Raises InvalidInput for a name
    that can't be written to, before anything is computed for it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            given = Path(name)
            if given.is_dir():
                raise InvalidInput("is a folder: name a file in it", file=name)
            self._direct = given.exists() and not given.is_file()
            self._final = given if self._direct else Path(os.path.realpath(name))
            part = self._final.with_name(f".{self._final.name}.{os.getpid()}.part")
            self.path = self._final if self._direct else part
            if not self._direct:
                self.path.open("xb").close()
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"can't be written: {getattr(error, 'strerror', None) or error}", file=name
            ) from error

    @property
    def earlier(self) -> Path | None:
        """The file of this name that is there; None where none is. InvalidInput for a pipe or a device."""
        if self._direct:
            raise InvalidInput("is no regular file: --resume goes on with a table", file=self.name)
        return self._final if self._final.exists() else None

    def keep(self) -> None:
        """Give it its name, in the place of an earlier file."""
        if not self._direct:
            try:
                self.path.replace(self._final)
            except OSError as error:
                raise output.NoOutput(self.name) from error

    def discard(self) -> None:
        """Remove it if it was not kept; an earlier file of its name stays."""
        if not self._direct:
            with contextlib.suppress(OSError):
                self.path.unlink()
