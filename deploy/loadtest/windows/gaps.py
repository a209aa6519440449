"""How long nothing was answered though something was to be."""

import numpy as np
from numpy.typing import NDArray

from deploy.loadtest.generator.records import Records


class GapFinder:
    """Finds the longest time without an answer, from records that come a while after they ended.

    It begins at an answer, or when the first request after it was sent, whichever is later, and lasts until
    the next answer: a server without requests is not silent.
    """

    def __init__(self, *, begin: float) -> None:
        self.longest = 0.0
        self.longest_begin = begin
        self.silent_since: float | None = (
            None  # time.monotonic; None: nothing has waited since the last answer
        )
        self.failing_since: float | None = None  # when the first request after the last answer failed
        self._counts_from = begin
        self._last = begin  # answer
        self._waiting: list[tuple[Records, NDArray[np.bool_]]] = []

    def count_from(self, begin: float) -> None:
        """Only a gap that ends after this time (time.monotonic) counts from now on."""
        self.longest, self.longest_begin, self._counts_from = 0.0, begin, begin

    def add(self, records: Records, answers: NDArray[np.bool_]) -> None:
        """Keeps records until all that ended before them have arrived; answers [n]: which of them are."""
        if len(records):
            self._waiting.append((records, answers))

    def advance(self, until: float) -> None:
        """Goes on to this time (time.monotonic), before which nothing more will be found to have ended."""
        if not self._waiting:
            return
        records = np.concatenate([part for part, _ in self._waiting])
        answers = np.concatenate([part for _, part in self._waiting])
        ripe = records["ended"] < until
        self._waiting = [(records[~ripe], answers[~ripe])] if not ripe.all() else []
        order = np.argsort(records["ended"][ripe], kind="stable")
        ends, sent = records["ended"][ripe][order].tolist(), records["sent"][ripe][order].tolist()
        for end, began, answer in zip(ends, sent, answers[ripe][order].tolist(), strict=True):
            self._end_of_one(end, began, answer=answer)

    def _end_of_one(self, end: float, sent: float, *, answer: bool) -> None:
        waited_from = max(sent, self._last)
        self.silent_since = waited_from if self.silent_since is None else min(self.silent_since, waited_from)
        if end >= self._counts_from and end - self.silent_since > self.longest:
            self.longest, self.longest_begin = end - self.silent_since, self.silent_since
        if answer:
            self._last, self.silent_since, self.failing_since = end, None, None
        elif self.failing_since is None:
            self.failing_since = end
