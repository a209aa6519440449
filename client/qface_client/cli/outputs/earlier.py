"""The photos that a table has from an earlier run, which `--resume` goes on with."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ...contract import Contract
from ...errors import InvalidInput
from ...tables import Column

_AGAIN = "name another file, or leave --resume out"


def _unchanged(name: str) -> str:
    return name


@dataclasses.dataclass(kw_only=True)
class Earlier:
    """The names that `in` finds are those of photos that are answered; one that failed is tried again.

    table: the file's name. next_photo: the number from which on further photos are counted. as_written: how
    a photo's name stands in the table.
    """

    table: str
    next_photo: int = 0
    as_written: Callable[[str], str] = _unchanged
    _names: set[str] = dataclasses.field(default_factory=set)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.as_written(name) in self._names

    def __len__(self) -> int:
        return len(self._names)

    def check(self, found: Sequence[str], expected: Sequence[Column]) -> None:
        """InvalidInput for a table whose columns are not those of this run."""
        if list(found) != [column.name for column in expected]:
            raise InvalidInput(
                f"has other columns than this run's answers, of other tasks or another contract: {_AGAIN}",
                file=self.table,
            )

    def take(self, *, name: str, photo: Any, answered_by: str | None, contract: Contract) -> None:
        """One row of an answered photo; InvalidInput where the server answered by another contract."""
        if answered_by and answered_by != contract.hash:
            raise InvalidInput(
                f"was answered by contract {answered_by}, and the server has {contract.hash} now: {_AGAIN}",
                file=self.table,
            )
        self._names.add(name)
        self.count(photo)

    def count(self, photo: Any) -> None:
        """A number that a photo has in the table."""
        self.next_photo = max(self.next_photo, int(photo) + 1)

    def unreadable(self, error: Exception) -> InvalidInput:
        """What is raised for a file that is no such table."""
        return InvalidInput(
            f"can't be read as a table of `qface analyze` ({error}): {_AGAIN}", file=self.table
        )
