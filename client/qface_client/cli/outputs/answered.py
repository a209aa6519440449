"""The outcome of one photo, and what takes outcomes."""

import dataclasses
from typing import Protocol

from ...errors import QFaceError
from ...results import Analysis
from ..inputs import Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """One photo with its faces, or the error that it met. index: which of the photos, from 0."""

    index: int
    picture: Picture
    analysis: Analysis | None
    error: QFaceError | None


class Output(Protocol):
    """Where outcomes go."""

    def write(self, answered: Answered) -> None:
        """Take one photo's outcome. Raises output.NoOutput."""
        ...

    def close(self) -> None:
        """Finish what was written. Raises output.NoOutput."""
        ...
