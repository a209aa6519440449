"""Records become windows as they arrive, so that a run of hours takes no more memory than one of minutes."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.loadtest.generator.records import Records, ended_with
from deploy.loadtest.protocols.base import OK
from deploy.loadtest.results import Failure, Window
from qface_client.measuring.histogram import Histogram


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What is known of a window when it is over: what ended in it, whenever it was due.

    ended           answers
    failed          other ends
    median          seconds, of the answers that arrived in it; NaN without one
    outstanding     requests that were due and had no end at the end of it
    """

    ended: int
    failed: int
    median: float
    outstanding: int


@dataclasses.dataclass
class _Cell:
    due: int = 0
    ended: int = 0  # answers that arrived
    failed: int = 0  # other ends that came
    faces: int = 0
    codes: Counter[str] = dataclasses.field(default_factory=Counter)
    latency: dict[str, Histogram] = dataclasses.field(default_factory=dict)
    arrived: Histogram = dataclasses.field(default_factory=lambda: Histogram.of(()))


class WindowFold:
    """Windows of equal length from `begin` (time.monotonic) on."""

    def __init__(self, *, begin: float, seconds: float, kinds: Sequence[str]) -> None:
        self.begin = begin
        self.seconds = seconds
        self.added = 0  # records
        self._kinds = tuple(kinds)
        self._cells: dict[int, _Cell] = {}
        self._failures: dict[str, Failure] = {}

    def add(self, records: Records, codes: Sequence[str], details: dict[str, str]) -> None:
        """Counts records, whose codes are numbers of these words; in any order, each once."""
        if not len(records):
            return
        self.added += len(records)
        answers = ended_with(OK, records, codes)
        latency = np.maximum(records["ended"] - records["due"], 0.0)
        due_in, ended_in = self._places(records["due"]), self._places(records["ended"])
        for place in np.unique(due_in).tolist():
            here = due_in == place
            cell = self._cell(place)
            cell.due += int(here.sum())
            cell.faces += int(records["faces"][here & answers].sum())
            counts = np.bincount(records["code"][here], minlength=len(codes))
            cell.codes.update({word: int(count) for word, count in zip(codes, counts, strict=True) if count})
            for number in np.unique(records["kind"][here & answers]).tolist():
                kind = self._kinds[number]
                of_kind = Histogram.of(latency[here & answers & (records["kind"] == number)])
                cell.latency[kind] = Histogram.merged(
                    part for part in (cell.latency.get(kind), of_kind) if part is not None
                )
        for place in np.unique(ended_in).tolist():
            here = ended_in == place
            cell = self._cell(place)
            cell.ended += int((here & answers).sum())
            cell.failed += int((here & ~answers).sum())
            cell.arrived = Histogram.merged((cell.arrived, Histogram.of(latency[here & answers])))
        self._add_failures(records, codes, details)

    def arrivals(self, place: int, *, outstanding: int | None = None) -> Arrivals:
        """Of a window that is over.

        outstanding: at its end, while requests have no record yet; None: all have one, and it is counted.
        """
        cell = self._cells.get(place, _Cell())
        if outstanding is None:
            before = (self._cells[number] for number in self._cells if number <= place)
            outstanding = sum(each.due - each.ended - each.failed for each in before)
        return Arrivals(
            ended=cell.ended,
            failed=cell.failed,
            median=cell.arrived.percentile(0.5),
            outstanding=outstanding,
        )

    def windows(self, end: float) -> tuple[Window, ...]:
        """All until `end` (time.monotonic): the last one is shorter where a window is not over by then.

        A rest of less than a tenth of a window is left out.
        """
        length = (end - self.begin) / self.seconds
        whole = int(length + 1e-6)
        lengths = [1.0] * whole + ([length - whole] if length - whole > 0.1 else [])
        return tuple(self._window(place, share) for place, share in enumerate(lengths))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """By status, the most frequent first."""
        return tuple(sorted(self._failures.values(), key=lambda failure: -failure.count))

    def _window(self, place: int, share: float) -> Window:
        cell = self._cells.get(place, _Cell())
        return Window(
            begin=place * self.seconds,
            seconds=share * self.seconds,
            due=cell.due,
            ended=cell.ended,
            faces=cell.faces,
            codes=dict(cell.codes),
            latency=dict(cell.latency),
        )

    def _cell(self, place: int) -> _Cell:
        return self._cells.setdefault(place, _Cell())

    def _places(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        places: NDArray[np.int64] = np.floor((times - self.begin) / self.seconds).astype(np.int64)
        return np.maximum(places, 0)

    def _add_failures(self, records: Records, codes: Sequence[str], details: dict[str, str]) -> None:
        for number in np.unique(records["code"]).tolist():
            code = codes[number]
            if code == OK:
                continue
            times = records["ended"][records["code"] == number] - self.begin
            before = self._failures.get(code)
            self._failures[code] = Failure(
                code=code,
                count=len(times) + (before.count if before else 0),
                first=min(float(times.min()), before.first if before else np.inf),
                last=max(float(times.max()), before.last if before else -np.inf),
                details=before.details if before else details.get(code, ""),
            )
