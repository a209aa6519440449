"""What a gateway serves and served before, in a file, so that a restarted process goes on with it."""

import contextlib
import dataclasses
import json
from pathlib import Path

from build.files import replace_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingState:
    """Repositories as they are on disk, links followed: a link that moves on changes nothing."""

    repository: Path
    previous: Path | None = None  # what `rollback` goes back to


class StateFile:
    """A small JSON file beside the control socket; it belongs to one run of the supervisor."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ServingState | None:
        """None where there is none, or none that can be read."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            written = json.loads(self._path.read_text())
            previous = written["previous"]
            return ServingState(
                repository=Path(written["repository"]), previous=None if previous is None else Path(previous)
            )
        return None

    def write(self, state: ServingState) -> None:
        """OSError where it can't be written."""
        written = {
            "repository": str(state.repository),
            "previous": None if state.previous is None else str(state.previous),
        }
        replace_file(self._path, json.dumps(written).encode(), mode=0o600)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
