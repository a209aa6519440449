"""How far a run is: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from deploy.bulk.chunks import Counts

LINE_SECONDS = 10.0


class Progress:
    """Counts photos, faces and failures; the rate is of this process's time alone."""

    def __init__(
        self,
        *,
        total: int,
        before: int = 0,
        shown: bool = True,
        line_seconds: float = LINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`total`: photos of the run; `before`: those that earlier calls of the command finished."""
        self.counts = Counts()
        self._total = total
        self._before = before
        self._clock = clock
        self._began = self._logged = clock()
        self._line_seconds = line_seconds
        terminal = shown and sys.stderr.isatty()
        self._lines = shown and not terminal
        self._bar: Any = tqdm(
            total=total, initial=before, unit="photo", disable=not terminal, dynamic_ncols=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    @property
    def rate(self) -> float:
        """Photos a second."""
        return self.counts.photos / max(1e-6, self._clock() - self._began)

    @property
    def done(self) -> int:
        return self._before + self.counts.photos

    def count(self, counts: Counts) -> None:
        """A chunk is finished and kept."""
        self.counts += counts
        found = self.counts
        self._bar.set_postfix_str(f"faces={found.faces:,}, failed={found.failed:,}", refresh=False)
        self._bar.update(counts.photos)
        if self._lines and self._clock() - self._logged >= self._line_seconds:
            self._logged = self._clock()
            print(f"bulk: {self.line()}", file=sys.stderr, flush=True)

    def line(self) -> str:
        """The state as a line."""
        left = f", {_duration((self._total - self.done) / self.rate)} left" if self.counts.photos else ""
        return (
            f"{self.done:,} of {self._total:,} photos, {self.rate:,.1f} a second, {self.counts.faces:,} "
            f"faces, {self.counts.failed:,} failed{left}"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
