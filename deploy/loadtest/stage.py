"""One load, until it has settled and then for the seconds that are measured.

with GeneratorPool(target, questions, processes=2, deadline=10) as pool:
    stage = measure_stage(pool, ClosedLoop(clients=4), section="sweep", settings=Settings())
"""

import contextlib
import dataclasses
import itertools
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from deploy.loadtest.generator import Arrived, GeneratorPool
from deploy.loadtest.generator.meter import GeneratorMeter
from deploy.loadtest.generator.records import CANCELLED, ended_with
from deploy.loadtest.loads import Load
from deploy.loadtest.protocols.base import OK
from deploy.loadtest.results import Server, Stage
from deploy.loadtest.windows import Arrivals, GapFinder, WindowFold, steady
from qface_client.measuring.histogram import Histogram

# A server that refuses for so long after a request failed, and answers nothing, is given up: a gateway that
# replaces a dead Triton is back within it.
GIVE_UP_SECONDS = 5.0
# Parts of the measured time whose core-ms show how much they vary.
_ROUNDS = 5
_LOOK_SECONDS = 0.25  # between two looks at what arrived
_DRAIN_SECONDS = 10.0  # beyond the deadline, for the last records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Of each stage.

    seconds     measured
    window      seconds of a window
    spread      of three windows in a row that count as settled
    warm_up     seconds after which the measured part begins though nothing settled; 0: at once
    """

    seconds: float = 20.0
    window: float = 2.0
    spread: float = 0.1
    warm_up: float = 20.0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("seconds", self.seconds, 0.1),
            ("window", self.window, 0.1),
            ("spread", self.spread, 0.001),
            ("warm_up", self.warm_up, 0.0),
        ):
            if not least <= value < math.inf:
                raise ValueError(
                    f"{value:g} is no {name.replace('_', '-')} of a stage: give {least:g} or more"
                )
        if self.window > self.seconds:
            raise ValueError(
                f"a window of {self.window:g} s is longer than the {self.seconds:g} s that are measured: "
                "give a shorter one"
            )

    @property
    def windows(self) -> int:
        """That are measured."""
        return max(1, round(self.seconds / self.window))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Moment:
    """What was counted when a window began.

    place                   of the window
    look                    of the server's side
    client_core_seconds     of the generator since the measured part began
    """

    place: int
    look: Any
    client_core_seconds: float


class ServerSide(Protocol):
    """What the server knows of a stage: its counters at two moments, and what lies between them."""

    def look(self) -> Any: ...

    def look_at_processes(self) -> Any: ...

    def between(
        self,
        before: Any,
        after: Any,
        *,
        latency: Mapping[str, Histogram],
        client_core_seconds: float,
        arrived: int | None = None,
    ) -> Server: ...

    def core_ms(
        self, before: Any, after: Any, *, answers: int, client_core_seconds: float
    ) -> Mapping[str, float]: ...


class Progress(Protocol):
    """Who is informed while a stage runs."""

    def window(self, place: int, window: Arrivals, *, seconds: float, warming: bool) -> None: ...


class StageInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came; `stage` has what was measured by then."""

    def __init__(self, stage: Stage) -> None:
        super().__init__("interrupted")
        self.stage = stage


def measure_stage(
    pool: GeneratorPool,
    load: Load,
    *,
    section: str,
    settings: Settings,
    server_side: ServerSide | None = None,
    progress: Progress | None = None,
) -> Stage:
    """Loads the server and returns what it bore; blocks for `settings.seconds` and the warm-up.

    A server that dies does not raise: `Stage.ended` says so. GeneratorError where no generator is left;
    StageInterrupted after SIGINT or SIGTERM.
    """
    measurement = _Measurement(pool, load, settings=settings, server_side=server_side, progress=progress)
    with _interruptions() as interrupted:
        measurement.follow(interrupted)
        stage = measurement.stage(section)
    if interrupted.is_set():
        raise StageInterrupted(stage)
    return stage


class _Measurement:
    def __init__(
        self,
        pool: GeneratorPool,
        load: Load,
        *,
        settings: Settings,
        server_side: ServerSide | None,
        progress: Progress | None,
    ) -> None:
        self._pool = pool
        self._load = load
        self._settings = settings
        self._server_side = server_side
        self._progress = progress
        self._over: list[Arrivals] = []  # windows that are over
        self._measured_from: int | None = None  # the first window that is measured, once that is known
        self._boundaries: list[int] = []  # windows at whose begin the counters are read, to come
        self._moments: list[_Moment] = []
        self._ended = ""
        longest = settings.warm_up + settings.seconds + 3 * settings.window + 2.0
        self._flow = pool.begin(load, longest=longest)
        begin = self._flow.begin
        self._meter = GeneratorMeter(begin=begin)
        self._fold = WindowFold(begin=begin, seconds=settings.window, kinds=pool.kinds)
        self._gaps = GapFinder(begin=begin)
        self._end = begin + longest
        if not settings.warm_up:
            self._measure_from(0)

    # -- while it runs ------------------------------------------------------------------------------

    def follow(self, interrupted: threading.Event) -> None:
        """Returns when the stage is over, for whatever reason."""
        while not self._flow.done:
            for arrived in self._flow.arriving(self._timeout()):
                self._take(arrived)
            self._gaps.advance(self._flow.until)
            self._see_windows()
            self._look_in_time()
            if interrupted.is_set():
                self._ended = f"it was interrupted after {time.monotonic() - self._fold.begin:.1f} s"
            elif self._flow.deaths:
                self._ended = f"the load broke off: {self._flow.deaths[0]}"
            elif time.monotonic() > self._end + self._pool.deadline + _DRAIN_SECONDS:
                self._ended = "the generator did not finish in time"
            else:
                self._ended = self._silence()
            if self._ended:
                self._end = min(self._end, time.monotonic())
                if interrupted.is_set():  # a server that is dead would make the look wait
                    self._look_early()
                for arrived in self._flow.abort():
                    self._take(arrived, with_cancelled=not interrupted.is_set())
                break
        self._gaps.advance(math.inf)

    def _timeout(self) -> float:
        """Until something is to be done at its time."""
        wait = _LOOK_SECONDS
        if self._boundaries:
            wait = min(wait, self._begin_of(self._boundaries[0]) - time.monotonic())
        return max(0.0, wait)

    def _take(self, arrived: Arrived, *, with_cancelled: bool = True) -> None:
        """with_cancelled: whether a request that was given up here is one that the server did not answer."""
        codes, records = self._flow.codes, arrived.records
        if not with_cancelled:
            records = records[~ended_with(CANCELLED, records, codes.words)]
        self._fold.add(records, codes.words, codes.details)
        self._gaps.add(records, ended_with(OK, records, codes.words))
        self._meter.add(arrived)

    def _see_windows(self) -> None:
        """Looks at windows that are over, and decides whether what follows is measured."""
        until = min(self._flow.until, self._end)
        while self._begin_of(len(self._over) + 1) <= until + 1e-6:
            place = len(self._over)
            window = self._fold.arrivals(place, outstanding=self._flow.outstanding)
            self._over.append(window)
            if self._progress is not None:
                warming = self._measured_from is None or place < self._measured_from
                self._progress.window(place, window, seconds=self._settings.window, warming=warming)
            if self._measured_from is None and self._settled(place + 1):
                # The next boundary to come, and time for what is to be done before it.
                passed = time.monotonic() + 0.05 - self._fold.begin
                self._measure_from(max(place + 1, math.ceil(passed / self._settings.window)))

    def _settled(self, windows: int) -> bool:
        seconds, spread = self._settings.window, self._settings.spread
        waited = windows * seconds >= self._settings.warm_up - 1e-6
        return waited or steady(self._load, self._over, spread=spread)

    def _measure_from(self, place: int) -> None:
        self._measured_from = place
        windows = self._settings.windows
        self._end = self._begin_of(place + windows)
        rounds = min(_ROUNDS, windows)
        self._boundaries = [place + number * windows // rounds for number in range(rounds + 1)]
        self._flow.stop_at(self._end)
        self._gaps.count_from(self._begin_of(place))

    def _look_in_time(self) -> None:
        """Reads the counters when the measured part begins, between its rounds, and when it ends."""
        while self._boundaries and time.monotonic() >= self._begin_of(self._boundaries[0]):
            self._look(self._boundaries.pop(0), last=not self._boundaries)

    def _look_early(self) -> None:
        """Reads them though the measured part is not over."""
        if self._moments and self._boundaries:
            self._boundaries = []
            self._look(math.floor((self._end - self._fold.begin) / self._settings.window), last=True)

    def _look(self, place: int, *, last: bool) -> None:
        first = not self._moments
        if first:
            self._meter.begin()
        if last:
            self._meter.end()
        look = None
        if self._server_side is not None:
            whole = first or last
            look = self._server_side.look() if whole else self._server_side.look_at_processes()
        self._moments.append(_Moment(place=place, look=look, client_core_seconds=self._meter.core_seconds))

    def _silence(self) -> str:
        """A sentence where the server has answered nothing for so long that it is given up."""
        gaps = self._gaps
        if gaps.failing_since is None or self._flow.until - gaps.failing_since < GIVE_UP_SECONDS:
            return ""
        since = (gaps.silent_since or gaps.failing_since) - self._fold.begin
        failures = ", ".join(
            f"{failure.count} {failure.code}" + (f" ({failure.details})" if failure.details else "")
            for failure in self._fold.failures
            if failure.last >= since
        )
        return (
            f"nothing was answered from {since:.1f} s on, and the stage was given up at "
            f"{self._flow.until - self._fold.begin:.1f} s: {failures}"
        )

    def _begin_of(self, place: int) -> float:
        return self._fold.begin + place * self._settings.window

    # -- when it is over ----------------------------------------------------------------------------

    def stage(self, section: str) -> Stage:
        """What was measured; of a stage that ended in its warm-up all that there is."""
        windows = self._fold.windows(self._end)
        warm_up = self._measured_from if self._measured_from is not None else len(windows)
        ended = self._ended
        if ended and warm_up >= len(windows):
            warm_up, ended = 0, f"{ended} (before anything was measured: the windows are the warm-up's)"
        over = [self._fold.arrivals(place) for place in range(len(windows))]
        measured = windows[warm_up:]
        latency = Histogram.merged(window.all_latency for window in measured)
        codes = sum((Counter(window.codes) for window in measured), Counter[str]())
        stage = Stage(
            section=section,
            load=self._load,
            windows=windows,
            warm_up=warm_up,
            stable=not self._ended and steady(self._load, over, spread=self._settings.spread),
            generator=self._meter.summary(
                processes=self._pool.processes,
                median=latency.percentile(0.5),
                codes=codes,
                deaths=self._flow.deaths,
            ),
            failures=self._fold.failures,
            gap=self._gaps.longest,
            gap_begin=max(0.0, self._gaps.longest_begin - self._fold.begin),
            ended=ended,
        )
        return dataclasses.replace(stage, server=self._server(stage))

    def _server(self, stage: Stage) -> Server:
        if self._server_side is None or len(self._moments) < 2:
            return Server()
        server = self._server_side.between(
            self._moments[0].look,
            self._moments[-1].look,
            latency=stage.latency_by_kind(),
            client_core_seconds=self._moments[-1].client_core_seconds,
            # What is still under way at the end costs the server its time later.
            arrived=sum(
                window.ended for window in stage.windows[self._moments[0].place : self._moments[-1].place]
            ),
        )
        return dataclasses.replace(server, core_ms_rounds=self._core_ms_rounds(stage, server.core_ms))

    def _core_ms_rounds(self, stage: Stage, names: Iterable[str]) -> dict[str, list[float]]:
        """Core-ms of an answer in each round by process; nothing where a round has none."""
        assert self._server_side is not None
        rounds = [
            self._server_side.core_ms(
                before.look,
                after.look,
                answers=sum(window.ended for window in stage.windows[before.place : after.place]),
                client_core_seconds=after.client_core_seconds - before.client_core_seconds,
            )
            for before, after in itertools.pairwise(self._moments)
        ]
        if len(rounds) < 2 or not all(rounds):
            return {}
        return {
            name: [each[name] for each in rounds] for name in names if all(name in each for each in rounds)
        }


@contextlib.contextmanager
def _interruptions() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set meanwhile: an exception could come amid a batch that is read."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came  # signals go to the main thread, whose matter they are
        return
    before = {
        number: signal.signal(number, lambda *_: came.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
