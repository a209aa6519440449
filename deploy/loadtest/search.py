"""The highest rate of an open loop that keeps an objective: a bracket, its halves, a longer last run."""

import dataclasses
from collections.abc import Callable, Sequence

from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.objectives import FEWEST_BEYOND, Objective, supported
from deploy.loadtest.results import Search, Stage

SECTION = "search"
TOLERANCE = 0.05  # between the rate that is kept and the next one that is not
CAPACITY_CLIENTS = 16  # whose rate is the first estimate, where there was no sweep: they fill batches
_FIRST = 0.7  # of that estimate
_UP, _DOWN = 1.3, 0.6  # until there are a rate that is kept and one that is not
_LEAST = 0.01  # of the estimate: lower rates are as good as unloaded
_CONFIRMATION = 3.0  # times as long as a step
# Requests that may be above the percentile, on average: one that chance delays must not decide.
_STEP_BEYOND = 2
_BEYOND = 1.2 * FEWEST_BEYOND  # of the confirmation
# Seconds that low rates may take for it.
_LONGEST_STEP = 60.0
_LONGEST = 300.0
_CONFIRMATIONS = 4
_OFFERED = 0.9  # of the rate that must have been due, or it was not that load
# Of what was due, and less so many, must have been answered meanwhile.
_ANSWERED = 0.9
_QUEUE = 3
_MOST_STEPS = 20

Measure = Callable[[ClosedLoop | OpenLoop, float], Stage]  # a load, and the measured seconds


@dataclasses.dataclass
class _Bracket:
    kept: float = 0.0
    violated: float = float("inf")

    @property
    def closed(self) -> bool:
        return self.violated <= self.kept * (1 + TOLERANCE)

    def next(self, rate: float) -> float:
        if self.violated == float("inf"):
            return rate * _UP
        return (self.kept + self.violated) / 2 if self.kept else rate * _DOWN


def search(
    measure: Measure,
    *,
    objective: Objective,
    arrivals: str,
    seconds: float,
    known: Sequence[Stage] = (),
) -> Search:
    """Tries rates, each for some seconds, and the one that it finds three times as long.

    known       stages of closed loops, which show what an unloaded answer takes and what the server answers
                at most; what lacks is measured
    """
    return _Search(measure, objective=objective, arrivals=arrivals, seconds=seconds).run(
        [stage for stage in known if isinstance(stage.load, ClosedLoop) and not stage.ended]
    )


class _Search:
    def __init__(self, measure: Measure, *, objective: Objective, arrivals: str, seconds: float) -> None:
        self._measure = measure
        self._objective = objective
        self._arrivals = arrivals
        self._seconds = seconds
        self._worst = ""  # what the lowest rate gave that was not kept

    def run(self, known: Sequence[Stage]) -> Search:
        unloaded = next((stage for stage in known if stage.load == ClosedLoop(clients=1)), None)
        unloaded = unloaded or self._measure(ClosedLoop(clients=1), self._seconds)
        alone = f"a single client has {self._objective.describe(unloaded)}"
        if not self._objective.kept(unloaded):
            return self._ended(None, f"no rate keeps {self._objective.text}: {alone}")
        loaded = max(
            (stage for stage in known if stage is not unloaded), key=lambda stage: stage.rate, default=None
        )
        loaded = loaded or self._measure(ClosedLoop(clients=CAPACITY_CLIENTS), self._seconds)
        capacity = max(loaded.rate, unloaded.rate)
        bracket = _Bracket()
        limit = self._close(bracket, capacity)
        if not bracket.kept:
            return self._ended(None, f"no rate keeps {self._objective.text}: {self._worst}; {alone}")
        return self._confirm(bracket, limit, alone)

    def _close(self, bracket: _Bracket, capacity: float) -> str:
        """Tries rates until the bracket is closed; a sentence where the generator can't send more."""
        rate = _rounded(_FIRST * capacity)
        for _ in range(_MOST_STEPS):
            stage = self._measure(self._load(rate), self._step_seconds(rate))
            if _too_little(stage, rate):
                return f"higher rates were not tried: {rate:.3g}/s can't be sent ({stage.generator.limit})"
            self._take(bracket, rate, stage)
            if bracket.closed:
                break
            rate = _rounded(bracket.next(rate))
            if rate < _LEAST * capacity:
                break
        return ""

    def _confirm(self, bracket: _Bracket, limit: str, alone: str) -> Search:
        for _ in range(_CONFIRMATIONS):
            rate = bracket.kept
            stage = self._measure(self._load(rate), self._confirmation_seconds(rate))
            if self._kept(stage):
                words = [
                    f"{self._objective.text} is kept at {rate:.4g}/s "
                    f"({self._objective.describe(stage)} in a run of {stage.seconds:.0f} s)"
                ]
                words += [f"not at {bracket.violated:.3g}/s ({self._worst})"] if self._worst else []
                words += [limit or stage.generator.limit] if limit or stage.generator.limit else []
                if not supported(self._objective.share, stage.due):
                    words.append(f"so few requests hardly have a {self._objective.name}: measure longer")
                return self._ended(rate, "; ".join(words))
            self._take(bracket, rate, stage)
            bracket.kept = _rounded(rate / (1 + TOLERANCE))
        return self._ended(
            None,
            f"no rate was found that keeps {self._objective.text} in a longer run: {self._worst}; {alone}",
        )

    def _take(self, bracket: _Bracket, rate: float, stage: Stage) -> None:
        if self._kept(stage):
            bracket.kept = max(bracket.kept, rate)
        elif rate < bracket.violated:
            bracket.violated = rate
            grows = "" if _keeps_up(stage) else f", and only {stage.rate:.3g} answers/s"
            self._worst = f"{rate:.3g}/s has {self._objective.describe(stage)}{grows}"

    def _kept(self, stage: Stage) -> bool:
        return self._objective.kept(stage) and _keeps_up(stage)

    def _step_seconds(self, rate: float) -> float:
        needed = _STEP_BEYOND / (1 - self._objective.share) / rate
        return max(self._seconds, min(needed, _LONGEST_STEP))

    def _confirmation_seconds(self, rate: float) -> float:
        needed = _BEYOND / (1 - self._objective.share) / rate
        return max(_CONFIRMATION * self._step_seconds(rate), min(needed, _LONGEST))

    def _load(self, rate: float) -> OpenLoop:
        return OpenLoop(rate=rate, arrivals=self._arrivals)

    def _ended(self, rate: float | None, sentence: str) -> Search:
        return Search(objective=self._objective.text, arrivals=self._arrivals, rate=rate, sentence=sentence)


def _rounded(rate: float) -> float:
    """To four digits, as it is written."""
    return float(f"{rate:.4g}")


def _keeps_up(stage: Stage) -> bool:
    """Whether answers come as fast as requests: beyond it the queue would grow, had the stage gone on."""
    return stage.rate * stage.seconds >= _ANSWERED * stage.due - _QUEUE


def _too_little(stage: Stage, rate: float) -> bool:
    """Whether the generator sent less than the rate."""
    unsent = stage.codes["NOT_SENT"] + stage.codes["NO_DESCRIPTORS"]
    return stage.due - unsent < _OFFERED * rate * stage.seconds and unsent > 0
