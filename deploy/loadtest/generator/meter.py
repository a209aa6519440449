"""Whether the generator and not the server was the limit: what its processes measured of themselves."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from deploy.loadtest.generator.pool import Arrived
from deploy.loadtest.generator.records import NOT_SENT
from deploy.loadtest.protocols.base import NO_DESCRIPTORS
from deploy.loadtest.results import Generator
from qface_client.measuring.histogram import Histogram

# An event loop that is busier than this makes requests wait for one another in itself.
BUSIEST_SHARE = 0.8
# Lateness counts into an open loop's latency: below 5 ms, or a tenth of the median, it changes no conclusion.
LATE_SECONDS = 0.005
LATE_SHARE = 0.1


class GeneratorMeter:
    """Follows the processes through the measured part of a stage."""

    def __init__(self, *, begin: float) -> None:
        """begin: time.monotonic of the load's first moment."""
        self._begin = begin
        self._late = Histogram.of(())
        self._lags: list[float] = []
        self._first: dict[int, tuple[float, float]] = {}  # time and core-seconds by process
        self._last: dict[int, tuple[float, float]] = {}
        self._over = False

    def begin(self) -> None:
        """The measured part begins: what was before is forgotten."""
        self._late, self._lags = Histogram.of(()), []
        self._first = dict(self._last)

    def end(self) -> None:
        """The measured part is over: what comes only waits for answers."""
        self._over = True

    def add(self, arrived: Arrived) -> None:
        strain = arrived.batch.strain
        self._late = Histogram.merged((self._late, Histogram.of(np.maximum(strain.late, 0.0))))
        if not self._over:
            self._lags.append(strain.lag)
            self._last[arrived.process] = (arrived.batch.until, strain.core_seconds)

    @property
    def core_seconds(self) -> float:
        """Processor time of all processes in the measured part."""
        return sum(
            last - self._first.get(number, (self._begin, 0.0))[1] for number, (_, last) in self._last.items()
        )

    @property
    def busiest(self) -> float:
        """The share of a core that the busiest process took in the measured part."""
        shares = [0.0]
        for number, (until, last) in self._last.items():
            since, first = self._first.get(number, (self._begin, 0.0))
            if until > since:
                shares.append((last - first) / (until - since))
        return max(shares)

    def summary(
        self, *, processes: int, median: float, codes: Mapping[str, int], deaths: Sequence[str]
    ) -> Generator:
        """Of the measured part; median: seconds of its answers, NaN without one."""
        late = self._late.percentile(0.99) if self._late.count else 0.0
        lag = statistics.median(self._lags) if self._lags else 0.0
        return Generator(
            processes=processes,
            late_p99=late,
            busiest=self.busiest,
            core_seconds=self.core_seconds,
            limit=limit_of(
                busiest=self.busiest, late=late, lag=lag, median=median, codes=codes, deaths=deaths
            ),
        )


def limit_of(
    *,
    busiest: float,
    late: float,
    lag: float,
    median: float,
    codes: Mapping[str, int],
    deaths: Sequence[str] = (),
) -> str:
    """A sentence where the generator may have been the limit; else "".

    lag: seconds, the median of the longest lags of its event loops in half a second each.
    """
    bearable = max(LATE_SECONDS, LATE_SHARE * median if median == median else 0.0)
    if deaths:
        return f"the load is not all that was ordered: {deaths[0]}"
    if count := codes.get(NO_DESCRIPTORS):
        return (
            f"{count} requests found no file descriptor left on this machine: "
            "raise the limit (ulimit -n 65536) or send less at a time"
        )
    if count := codes.get(NOT_SENT):
        return (
            f"{count} requests were not sent, as too many were outstanding or the generator was too late: "
            "give a lower rate, a shorter --deadline or more --processes"
        )
    if busiest > BUSIEST_SHARE:
        return (
            f"the generator may have been the limit: its busiest process took {busiest:.0%} of a core; "
            "give more --processes"
        )
    if late > bearable:
        return (
            f"the generator may have been the limit: 1 % of the requests went out {1e3 * late:.0f} ms late "
            "or later; give more --processes, or another machine than the server's"
        )
    if lag > bearable:
        return (
            f"the generator may have been the limit: its event loops lagged by {1e3 * lag:.0f} ms; "
            "give more --processes, or another machine than the server's"
        )
    return ""
