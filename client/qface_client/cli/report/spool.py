"""Pictures of a report, kept in a temporary file until the report is written."""

import dataclasses
import tempfile
from types import TracebackType
from typing import TYPE_CHECKING

from .. import output

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """Where bytes lie in the spool."""

    start: int
    length: int


class Spool:
    """Bytes in a file without a name, which is gone with the process, as a context.

    Raises output.NoOutput where the folder for temporary files has no room or can't be written to.
    """

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - `__exit__` closes it
                prefix="qface-report-", buffering=0
            )
        except OSError as error:
            raise output.NoOutput(_name()) from error
        self._end = 0

    def keep(self, data: bytes) -> Kept:
        """Put bytes at the end."""
        kept = Kept(self._end, len(data))
        written = 0
        try:
            self._file.seek(self._end)
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            raise output.NoOutput(_name()) from error
        self._end += len(data)
        return kept

    def read(self, kept: Kept) -> bytes:
        """The bytes that were kept."""
        self._file.seek(kept.start)
        data = self._file.read(kept.length)
        if len(data) != kept.length:
            raise EOFError(f"the temporary file has lost {kept.length - len(data)} bytes")
        return data

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def _name() -> str:
    return f"a temporary file in {tempfile.gettempdir()} (TMPDIR names another folder)"
