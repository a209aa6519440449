"""What a run must keep: "p99<200ms@50rps", "errors<1%", "rate>50rps", "p50<80ms@16clients".

A requirement names a metric, a bound and, behind "@", the load at which it holds: requests a second, which
come on their own, or clients. Without one `rate` and `goodput` are those of the best stage, and everything
else is kept in every stage but those of a search, which goes beyond what a server bears by intention.

A requirement that the run can't answer is not kept: its verdict has the reason.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence

from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.objectives import (
    FEWEST_BEYOND,
    Objective,
    parse_seconds,
    parse_share,
    run_objective,
    supported,
)
from deploy.loadtest.results import Run, Stage
from qface_client.measuring.percentiles import percentile_name

_TEXT = re.compile(
    r"\s*([a-z][a-z0-9.]*)\s*([<>]=?)\s*([\d.]+)\s*([a-z%/]*)\s*(?:@\s*([\d.]+)\s*([a-z/]+))?\s*"
)
_RATES, _CLIENTS = ("rps", "/s"), ("clients", "client")
_EXAMPLES = "p99<200ms@50rps, p50<80ms@16clients, errors<1%, rate>50rps or goodput>45rps@50rps"
_SEARCH = "search"  # a section

_SHARE_OF_OFFERED = 0.9  # of its rate that a stage must have offered to count: less was cut off, not chance


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a requirement was kept, and by what."""

    requirement: str
    kept: bool
    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirement:
    """One metric's bound.

    metric      "errors", "rate", "goodput", "mean", or a percentile's name
    bound       of the metric: seconds, requests a second, or a share
    inclusive   whether the bound itself is kept, as of "errors<=0%"
    at          the load at which it holds; None: see the module
    """

    text: str
    metric: str
    bound: float
    at: Load | None = None
    inclusive: bool = False

    def stage_needed(self) -> Load | None:
        """The load that a run must have a stage of; None where any will do."""
        return self.at

    def check(self, run: Run) -> Verdict:
        """Of the run's stages, all of them or the one that it names."""
        try:
            kept, sentence = self._check(run)
        except _Unanswerable as reason:
            kept, sentence = False, str(reason)
        return Verdict(requirement=self.text, kept=kept, sentence=sentence)

    def _check(self, run: Run) -> tuple[bool, str]:
        metric, stages = _metric(self.metric), self._stages(run)
        # The worst stage, or the best: the highest value in both.
        value, decides = max(
            ((metric.value(stage, run), stage) for stage in stages), key=lambda each: each[0]
        )
        checked = [decides] if metric.best else stages
        kept = value < self.bound if metric.below else value > self.bound
        kept = kept or (self.inclusive and value == self.bound)
        if kept:
            for stage in checked:
                metric.check_support(stage)
        of_all = "" if self.at is not None else ", the highest of all stages"
        sentence = f"{self.metric} {metric.written(value)} at {decides.load.name}{of_all}"
        ended = next((stage.ended for stage in checked if stage.ended), "")
        if ended:
            kept, sentence = False, f"{sentence}, and a stage ended early: {ended}"
        if not kept and decides.generator.limit:
            sentence = f"{sentence}; {decides.generator.limit}"
        return kept, sentence

    def _stages(self, run: Run) -> Sequence[Stage]:
        """Those that it is checked in; _Unanswerable where there is none."""
        stages = [stage for stage in run.plan if stage.due]
        if self.at is None:
            found = [stage for stage in stages if stage.section != _SEARCH]
            if not found:
                raise _Unanswerable("no stage was measured")
            return found
        found = [stage for stage in stages if _is_load(stage, self.at)]
        if not found:
            ended = f": {run.ended}" if run.ended else ", or it offered less"
            raise _Unanswerable(f"no stage was measured at {self.at.name}{ended}")
        return found[-1:]


class _Unanswerable(Exception):
    """Why a run can't answer a requirement."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Metric:
    """How a metric is read.

    below       whether its bound is an upper one
    best        whether a run's value is that of its best stage
    """

    below: bool
    value: Callable[[Stage, Run], float]
    written: Callable[[float], str]
    units: Sequence[str]
    best: bool = False
    check_support: Callable[[Stage], None] = lambda stage: None


def parse(text: str) -> Requirement:
    """A requirement of its text; ValueError with a sentence for one that can't be read."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no requirement: write one as {_EXAMPLES}")
    name, sign, number, unit, at, at_unit = found.groups()
    try:
        metric = _metric(name)
    except ValueError:
        raise ValueError(
            f"{text!r}: there is no metric {name!r}: choose from p50 ... p99.9, {', '.join(_METRICS)}"
        ) from None
    if sign.startswith("<") != metric.below:
        wanted = ("<" if metric.below else ">") + sign[1:]
        raise ValueError(f"{text!r} asks for a bad {name}: write {name}{wanted}{number}{unit}")
    if unit not in metric.units:
        units = " or ".join(each or "a bare number" for each in metric.units)
        raise ValueError(f"{text!r}: a bound of {name} is in {units}, not in {unit or 'a bare number'}")
    return Requirement(
        text=text.strip(),
        metric=name,
        bound=_bound(text, number, unit),
        at=_load(text, at, at_unit),
        inclusive=sign.endswith("="),
    )


def _bound(text: str, number: str, unit: str) -> float:
    value = _number(text, number)
    if unit == "%":
        return value / 100
    return value if unit in _RATES else parse_seconds(number, unit)


def _load(text: str, number: str | None, unit: str | None) -> Load | None:
    if number is None or unit is None:
        return None
    value = _number(text, number)
    try:
        if unit in _RATES:
            return OpenLoop(rate=value)
        if unit in _CLIENTS and value.is_integer():
            return ClosedLoop(clients=int(value))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    raise ValueError(f"{text!r}: what stands behind @ is a load as @50rps or @16clients, not {number}{unit}")


def _number(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is no number") from None


def _is_load(stage: Stage, load: Load) -> bool:
    """Whether a stage had this load, and really offered it."""
    if isinstance(stage.load, OpenLoop) and isinstance(load, OpenLoop):
        same = math.isclose(stage.load.rate, load.rate, rel_tol=1e-6) and stage.load.arrivals == load.arrivals
        spread = 3 / math.sqrt(stage.due)  # of Poisson arrivals
        return same and stage.offered >= (_SHARE_OF_OFFERED - spread) * load.rate
    return stage.load == load


def _goodput(stage: Stage, run: Run) -> float:
    objective = run_objective(run)
    if objective is None:
        raise _Unanswerable(
            "goodput counts the answers within an objective, and the run has none: give --slo"
        )
    return stage.goodput(objective.seconds)


def _mean(stage: Stage, run: Run) -> float:
    return stage.latency.mean if stage.latency.count else math.inf


def _rate_written(value: float) -> str:
    return f"{value:.4g}/s"


def _seconds_written(value: float) -> str:
    return f"{1000 * value:.4g} ms" if math.isfinite(value) else "never reached, for lack of answers,"


def _check_support(share: float, stage: Stage) -> None:
    if not supported(share, stage.due):
        needed = math.ceil(FEWEST_BEYOND / (1 - share) - 1e-6)
        raise _Unanswerable(
            f"{stage.due} requests at {stage.load.name} are too few for {percentile_name(share)}, "
            f"which needs {needed:,}: give more --seconds"
        )


_METRICS: Mapping[str, _Metric] = {
    "errors": _Metric(
        below=True,
        value=lambda stage, run: stage.error_share,
        written=lambda value: f"{100 * value:.3g} %",
        units=("%",),
    ),
    "rate": _Metric(
        below=False, best=True, value=lambda stage, run: stage.rate, written=_rate_written, units=_RATES
    ),
    "goodput": _Metric(below=False, best=True, value=_goodput, written=_rate_written, units=_RATES),
    "mean": _Metric(below=True, value=_mean, written=_seconds_written, units=("ms", "s", "us")),
}


def _metric(name: str) -> _Metric:
    """Of its name; ValueError for none."""
    if name in _METRICS:
        return _METRICS[name]
    share = parse_share(name)
    return _Metric(
        below=True,
        value=lambda stage, run: Objective(share=share, seconds=1.0).value(stage),
        written=_seconds_written,
        units=("ms", "s", "us"),
        check_support=functools.partial(_check_support, share),
    )
