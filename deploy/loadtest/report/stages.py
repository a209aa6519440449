"""Stages as a report orders and names them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.objectives import supported
from deploy.loadtest.results import Run, Stage, waits
from qface_client.measuring.histogram import Histogram

STALL_SECONDS = 1.0  # without an answer, that a reader is pointed to
_SMALL, _FEWEST_OTHERS = 0.02, 2  # of a sum: a part that is put together with others, where there are so many
_PLACES, _MOST_PLACES = 3, 5  # significant ones of a figure, and at most behind the point
_WHOLE = 10**_PLACES  # from which on a figure is a whole number


def closed_loops(run: Run) -> list[Stage]:
    """By their clients, of those that measured something of the whole work."""
    stages = [stage for stage in run.plan if isinstance(stage.load, ClosedLoop) and stage.latency.count]
    return sorted(stages, key=lambda stage: stage.load.clients if isinstance(stage.load, ClosedLoop) else 0)


def open_loops(run: Run, arrivals: str | None = None) -> list[Stage]:
    """By their rates, of those that measured something of the whole work."""
    stages = [
        stage
        for stage in run.plan
        if isinstance(stage.load, OpenLoop) and stage.due and arrivals in (None, stage.load.arrivals)
    ]
    return sorted(stages, key=rate_of)


def rate_of(stage: Stage) -> float:
    """Requests a second of an open loop's load; 0 of a closed one."""
    return stage.load.rate if isinstance(stage.load, OpenLoop) else 0.0


def sections(run: Run) -> dict[str, list[Stage]]:
    """The stages by section, in the order in which they ran."""
    found: dict[str, list[Stage]] = {}
    for stage in run.stages:
        found.setdefault(stage.section, []).append(stage)
    return found


def names(stages: Sequence[Stage]) -> list[str]:
    """A name for each: its load's, with the section where several have the load, and a number where still."""
    loads = Counter(stage.load.name for stage in stages)
    plain = [
        stage.load.name if loads[stage.load.name] == 1 else f"{stage.load.name} ({stage.section})"
        for stage in stages
    ]
    counted, seen = Counter(plain), Counter[str]()
    found = []
    for name in plain:
        seen[name] += 1
        found.append(name if counted[name] == 1 else f"{name} {seen[name]}")
    return found


def milliseconds(latency: Histogram, share: float) -> float:
    """A percentile; NaN where too few answers have it."""
    return 1000 * latency.percentile(share) if supported(share, latency.count) else math.nan


def with_others(rows: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The same sums with fewer parts: those that are small in every row are one, the last.

    A part of waiting stays, as it stands apart from the others; one that is 0 in every row is left out. All
    rows have the same parts: one that a row lacks took nothing of it.
    """
    parts = dict.fromkeys(part for row in rows for part in row)
    shares = {
        part: max(abs(row.get(part, 0.0)) / (sum(map(abs, row.values())) or 1.0) for row in rows)
        for part in parts
    }
    small = [part for part in parts if 0 < shares[part] < _SMALL and not waits(part)]
    if len(small) < _FEWEST_OTHERS:
        small = []
    own = [part for part in parts if shares[part] > 0 and part not in small]
    return [
        {part: row.get(part, 0.0) for part in own}
        | ({f"{len(small)} others": sum(row.get(part, 0.0) for part in small)} if small else {})
        for row in rows
    ]


def figure(value: float) -> str:
    """Three significant places, no exponent: "1295", "42.2", "0.061"; "" of NaN."""
    if math.isnan(value):
        return ""
    if not math.isfinite(value):
        return "∞"
    if value == 0:
        return "0"
    value = (
        float(f"{value:.{_PLACES}g}") if abs(value) < _WHOLE else value
    )  # 99.96 has a place less than 99.9
    places = _PLACES - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(0, places), _MOST_PLACES)}f}"


def percent(share: float) -> str:
    """ "8.6 %"; "0" for nothing at all; "" of NaN."""
    if math.isnan(share):
        return ""
    return "0" if share == 0 else f"{figure(100 * share)} %"
