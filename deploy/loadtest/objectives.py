"""Objectives of latency: "p99<200ms" is kept where 99 % of what was due was answered within 200 ms."""

import dataclasses
import math
import re

from deploy.loadtest.results import Run, Stage
from qface_client.measuring.percentiles import percentile_name

SETTING = "slo"  # of about["settings"]: the objective's text
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
FEWEST_BEYOND = 5  # values above a percentile, for it to be more than the highest value's chance
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)", re.ASCII)
_TEXT = re.compile(r"(p[\d.]+)\s*<=?\s*([\d.]+)\s*([a-z]+)", re.ASCII)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """A latency that a share of the requests keeps.

    share       of the requests, between 0 and 1
    seconds     from when each was due; a request that got no answer took longer than any
    """

    share: float
    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"no percentile is p{100 * self.share:g}: give one between p0 and p100")
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"no answer takes {self.seconds:g} s: give a time above 0")

    @property
    def text(self) -> str:
        """What `parse_objective` makes this of."""
        return f"{self.name}<{self.duration.replace(' ', '')}"

    @property
    def duration(self) -> str:
        """ "200 ms", "2 s"."""
        return f"{self.seconds:g} s" if self.seconds >= 1 else f"{1000 * self.seconds:g} ms"

    @property
    def name(self) -> str:
        return percentile_name(self.share)

    def kept(self, stage: Stage) -> bool:
        """Whether enough of what was due was answered in time; False where nothing was due."""
        return self.within(stage) >= self.share if stage.due else False

    def within(self, stage: Stage) -> float:
        """The share of what was due that was answered in time (to 1 %); NaN where nothing was due."""
        latency = stage.latency
        if not stage.due:
            return math.nan
        return latency.count * latency.share_below(self.seconds) / stage.due if latency.count else 0.0

    def value(self, stage: Stage) -> float:
        """The percentile over what was due, in seconds: infinite where too much of it got no answer."""
        latency = stage.latency
        wanted = math.ceil(self.share * stage.due)
        if not stage.due or wanted > latency.count:
            return math.inf
        return latency.percentile((wanted - 0.5) / latency.count)  # the half: no rounding up to the next

    def describe(self, stage: Stage) -> str:
        """ "p99 184 ms of 1500 requests, 3 without an answer"."""
        if not stage.due:
            return "nothing was due"
        lost = stage.due - stage.codes["OK"]
        value = self.value(stage)
        figure = milliseconds(value) if math.isfinite(value) else "never reached"
        return f"{self.name} {figure} of {stage.due} requests" + (
            f", {lost} without an answer" if lost else ""
        )


def milliseconds(seconds: float) -> str:
    """ "84.3 ms", "1,320 ms": of three digits or more, without an exponent."""
    value = 1000 * seconds
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def supported(share: float, count: int) -> bool:
    """Whether so many values have a percentile: p99 of 200 is the second highest, which chance makes."""
    return count * (1 - share) >= FEWEST_BEYOND - 1e-6


def parse_objective(text: str) -> Objective:
    """ "p99<200ms", "p99.9<1s"; ValueError with a sentence for anything else."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no objective: write a percentile and a time, as p99<200ms or p50<0.1s")
    return Objective(share=parse_share(found[1]), seconds=parse_seconds(found[2], found[3]))


def parse_share(name: str) -> float:
    """ "p99.9" -> 0.999; ValueError with a sentence for anything else."""
    found = _PERCENTILE.fullmatch(name)
    share = 0.0 if found is None else round(float(found[1]) / 100, 9)
    if not 0 < share < 1:  # p99.99999999 is p100 to so many digits
        raise ValueError(f"{name!r} is no percentile: write p50, p99, p99.9 ...")
    return share


def parse_seconds(number: str, unit: str) -> float:
    """ "200", "ms" -> 0.2; ValueError with a sentence for anything else."""
    if unit not in UNITS:
        raise ValueError(f"{number}{unit} is no time: its unit is one of {', '.join(UNITS)}")
    try:
        return float(number) * UNITS[unit]
    except ValueError:
        raise ValueError(f"{number!r} is no number") from None


def run_objective(run: Run) -> Objective | None:
    """That of the run's settings; None where it has none."""
    text = run.about.get("settings", {}).get(SETTING)
    return parse_objective(text) if text else None
