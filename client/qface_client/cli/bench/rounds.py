"""Calls one after the other and by several callers at once, and what each of them took."""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import grpc

from ...client import FaceClient
from ...errors import QFaceError
from ...measuring.loops import closed_loop
from ...measuring.percentiles import percentile
from ...results import Analysis
from ..direct_calls import Counted, DirectCalls

TOTAL = "total"  # the timing from the request read to its answer handed over
WARM_SECONDS, WARM_CALLS = 1.0, 3
EMPTY_CALLS = 50
MEDIAN = 0.5
SHARES = (MEDIAN, 0.9, 0.99)
_LEAST_BEYOND = 5  # of as many calls beyond a percentile, one that chance delays does not decide


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
    """A picture that is sent."""

    file: str
    data: bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """One call: `ms` as the caller waited, `timings` as the server measured the request."""

    ms: float
    timings: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """What a number of callers measured together; `ended`: until the end that was meant."""

    clients: int
    seconds: float
    core_seconds: float  # processor time of this process
    calls: Sequence[Call]
    ended: bool = True

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.calls) / self.seconds

    @property
    def core_ms(self) -> float:
        """Processor milliseconds of this process for an answer."""
        return 1e3 * self.core_seconds / len(self.calls)

    @property
    def waits(self) -> list[float]:
        """Milliseconds of each call."""
        return [call.ms for call in self.calls]

    @property
    def timings(self) -> dict[str, list[float]]:
        """Milliseconds of each call by the server's names, where every answer states them."""
        names = [name for name in self.calls[0].timings if all(name in call.timings for call in self.calls)]
        return {name: [call.timings[name] for call in self.calls] for name in names}

    @property
    def overheads(self) -> list[float]:
        """Milliseconds of each call that the server's own time leaves; empty where it states none."""
        totals = self.timings.get(TOTAL, ())
        return [call.ms - total for call, total in zip(self.calls, totals, strict=False)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A percentile; `firm`: of enough calls for it."""

    ms: float
    firm: bool


def figures(milliseconds: Sequence[float]) -> dict[float, Figure]:
    """The percentiles that a report has, by their share."""
    count = len(milliseconds)
    return {
        share: Figure(
            ms=percentile(milliseconds, share),
            firm=share == MEDIAN or count * (1 - share) >= _LEAST_BEYOND - 1e-9,
        )
        for share in SHARES
    }


@dataclasses.dataclass
class Measurement:
    """All that was measured so far."""

    first_ms: float | None = None  # of the first call, which connects and reads the contract
    analyses: list[Analysis] = dataclasses.field(default_factory=list)  # one a photo
    rounds: list[Round] = dataclasses.field(default_factory=list)  # the first is of one caller
    statistics_ms: float | None = None  # of a server that states no timings: the mean that it counted
    empty_ms: list[float] = dataclasses.field(default_factory=list)  # of calls without anything in them
    reading_ms: list[float] = dataclasses.field(default_factory=list)  # of each answer as plain data


class Bench:
    """Measures a server from here; `measurement` holds what it has so far.

    `seconds`: of a round. `progress` is called with a sentence before each.
    """

    def __init__(
        self,
        client: FaceClient,
        direct: DirectCalls,
        *,
        photos: Sequence[Photo],
        tasks: Sequence[str] | None,
        model: str | None,
        seconds: float,
        progress: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._client = client
        self._direct = direct
        self._photos = photos
        self._tasks = tasks
        self._model = model
        self._seconds = seconds
        self._progress = progress
        self._numbers = itertools.count()  # of the calls; taken from by all threads
        self.measurement = Measurement()

    def run(self, clients: Sequence[int]) -> None:
        """One caller alone, then as many at once as each of `clients` above 1.

        Raises the QFaceError of a call that failed, or KeyboardInterrupt; `measurement` then has what there
        was until then.
        """
        self._warm_up()
        before = self._counted()
        self._round(1)
        if not self.measurement.rounds[0].overheads and before is not None:
            after = self._counted()
            self.measurement.statistics_ms = None if after is None else (after - before).mean_ms
        self.measurement.empty_ms = self._empty_calls()
        for count in clients:
            if count > 1:
                self._round(count)

    def _warm_up(self) -> None:
        """Each photo once, and on until the connection and the server are warm."""
        self._progress(f"warms up for {WARM_SECONDS:g} s")
        end = time.monotonic() + WARM_SECONDS
        for number in itertools.count():
            if number >= max(WARM_CALLS, len(self._photos)) and time.monotonic() >= end:
                return
            analysis, milliseconds = self._ask(self._photos[number % len(self._photos)])
            if number == 0:
                self.measurement.first_ms = milliseconds
            if number < len(self._photos):
                self.measurement.analyses.append(analysis)
            began = time.perf_counter()
            analysis.to_dict()
            self.measurement.reading_ms.append(1e3 * (time.perf_counter() - began))

    def _round(self, clients: int) -> None:
        self._progress(f"{clients} caller{'s' if clients > 1 else ''}, {self._seconds:g} s")
        calls: list[Call] = []
        ends = threading.Event()

        def ask() -> None:
            if ends.is_set():
                raise _Ended
            photo = self._photos[next(self._numbers) % len(self._photos)]
            analysis, milliseconds = self._ask(photo)
            calls.append(Call(ms=milliseconds, timings=analysis.provenance.timings))

        failure: BaseException | None = None
        core, began = time.process_time(), time.monotonic()
        try:
            closed_loop(ask, clients=clients, seconds=self._seconds)
        except (QFaceError, KeyboardInterrupt) as error:
            failure = error
            ends.set()  # after Ctrl-C the callers' threads are still there
        seconds, core = time.monotonic() - began, time.process_time() - core
        if calls:
            self.measurement.rounds.append(
                Round(
                    clients=clients,
                    seconds=seconds,
                    core_seconds=core,
                    calls=tuple(calls),
                    ended=failure is None,
                )
            )
        if failure is not None:
            raise failure

    def _ask(self, photo: Photo) -> tuple[Analysis, float]:
        began = time.perf_counter()
        analysis = self._client.analyze(photo.data, tasks=self._tasks, model=self._model)
        return analysis, 1e3 * (time.perf_counter() - began)

    def _empty_calls(self) -> list[float]:
        """Milliseconds of each; none where the server does not answer them."""
        found = list[float]()
        with contextlib.suppress(grpc.RpcError):
            self._direct.is_live()  # connects
            for _ in range(EMPTY_CALLS):
                began = time.perf_counter()
                self._direct.is_live()
                found.append(1e3 * (time.perf_counter() - began))
        return found

    def _counted(self) -> Counted | None:
        """What the server has counted of the model that answers; None where it does not state it."""
        model = self.measurement.analyses[0].provenance.model
        if not model:
            return None
        try:
            return self._direct.counted(model)
        except grpc.RpcError:  # a caller without leave, or a server without counters: a figure less
            return None


class _Ended(Exception):
    """The round is over for the other callers too."""
