"""Repositories that a gateway serves, or may go back to, are kept on disk while it runs."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from build.stages.repository_files import hold


class RepositoryLeases:
    """The repositories that this process holds; they are let go when it ends, however it ends."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}

    def keep(self, repositories: Iterable[Path]) -> None:
        """Holds these from now on, and no others. One that can't be held is served all the same."""
        wanted = set(repositories)
        for path in wanted - self._held.keys():
            with contextlib.suppress(OSError):
                self._held[path] = hold(path)
        for path in self._held.keys() - wanted:
            os.close(self._held.pop(path))
