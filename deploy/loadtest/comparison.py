"""What differs between two runs beyond noise, stage by stage.

Stages of the same section and load belong together; several of them are one with more windows. Intervals are
those of qface_client.measuring.differences over windows, and all of them hold together at 95 % (Bonferroni):
a comparison of two runs of the same has a difference, any at all, in at most 5 % of cases. Parts of the split
have one figure a stage. A part differs where it changed by more than half of the interval of the mean
latency, and by more than the floor of that latency: no part is known better than what it is part of.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.loadtest.loads import Load
from deploy.loadtest.parts import kind_weights, weighted_parts
from deploy.loadtest.results import Run, Stage, waits
from qface_client.measuring.differences import (
    FLOOR,
    FLOORS_WITHOUT_BLOCKS,
    LEVEL,
    Difference,
    difference,
    once,
    percentile,
    quotient,
)

ALL = "all processes"
_ERRORS_FLOOR = 0.001  # of the requests
_LEAST_OF_ALL = 0.01  # of all processes' core-ms, by which one's must change to be a difference
_FEWEST_WINDOWS = 3
_QUANTITIES = 5  # of a stage, besides its processes
_MUST_AGREE = ("machine", "target", "serves", "work", "settings")  # of about


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageComparison:
    """A load that both runs have.

    rate, errors    answers a second; the share of what was due
    p50, p99, mean  latency in milliseconds
    parts           of a request, in milliseconds; of kinds by how often they were answered
    core_ms         of an answer by process, ALL among them, where both runs have it
    ended           why the later stage ended before its time, where the earlier one did not
    """

    section: str
    load: Load
    rate: Difference
    p50: Difference
    p99: Difference
    mean: Difference
    errors: Difference
    parts: Mapping[str, Difference]
    core_ms: Mapping[str, Difference]
    ended: str = ""

    @property
    def name(self) -> str:
        return f"{self.section}, {self.load.name}"

    def differing(self) -> Iterator[tuple[str, Difference]]:
        """What differs beyond noise, by its name with its unit."""
        named = [
            ("answers/s", self.rate),
            ("p50, ms", self.p50),
            ("p99, ms", self.p99),
            ("mean, ms", self.mean),
            ("errors", self.errors),
            *((f"{part}, ms", each) for part, each in self.parts.items()),
            *((f"{process}, core-ms", each) for process, each in self.core_ms.items()),
        ]
        return ((name, each) for name, each in named if each.beyond_noise)

    @property
    def worse(self) -> list[str]:
        """What got worse beyond noise: fewer answers, later ones, more errors, more processor time in all.

        A stage that did not come to its end is worse by that alone.
        """
        up = {"p50": self.p50, "p99": self.p99, "errors": self.errors}
        if ALL in self.core_ms:
            up["core-ms"] = self.core_ms[ALL]
        worse = [name for name, each in up.items() if each.beyond_noise and each.after > each.before]
        worse += ["rate"] * (self.rate.beyond_noise and self.rate.after < self.rate.before)
        return worse + ["ended early"] * bool(self.ended)

    def cause(self) -> str:
        """The part that changed most, in a sentence; "" where none changed beyond noise."""
        changed = {part: each for part, each in self.parts.items() if each.beyond_noise}
        sentences = []
        for waiting in (False, True):  # work first: waiting follows from it
            found = {part: each for part, each in changed.items() if waits(part) == waiting}
            if found:
                part = max(found, key=lambda name: abs(found[name].after - found[name].before))
                sentences.append(self._sentence(part, found[part]))
        return "; ".join(sentences)

    def _sentence(self, part: str, changed: Difference) -> str:
        took = changed.after - changed.before
        whole = sum(each.after - each.before for each in self.parts.values())
        text = f"{part} took {abs(took):.1f} ms {'more' if took > 0 else 'less'} a request"
        return f"{text}: {took / whole:.0%} of the change" if took * whole > 0 else text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs.

    searches    sentences on the rates that searches found: each was found once, so that there is no interval
    """

    stages: Sequence[StageComparison]
    searches: Sequence[str]
    warnings: Sequence[str]

    @property
    def worse(self) -> bool:
        return any(stage.worse for stage in self.stages)

    def cause(self) -> str:
        """Of the stage in which least waits: the sentence of it that names a part; "" where none changed."""
        caused = [stage for stage in self.stages if stage.cause()]
        if not caused:
            return ""
        least = min(
            caused,
            key=lambda stage: sum(each.before for part, each in stage.parts.items() if waits(part)),
        )
        return f"{least.cause()} ({least.name})"


def compare(before: Run, after: Run, *, floor: float = FLOOR) -> Comparison:
    """Every load of both runs; ValueError where there is none that gave answers in both."""
    first, second = _by_load(before), _by_load(after)
    shared = [key for key in first if key in second]
    if not shared:
        raise ValueError("the two runs have no load in common: run the same stages for both")
    processes = sum(len(_processes(first[key], second[key])) for key in shared)
    level = 1 - (1 - LEVEL) / (_QUANTITIES * len(shared) + processes)
    return Comparison(
        stages=[_stage(key, first[key], second[key], floor=floor, level=level) for key in shared],
        searches=list(_searches(before, after)),
        warnings=[
            *_disagreements(before.about, after.about),
            *_doubts("before", before, shared),
            *_doubts("after", after, shared),
        ],
    )


_Key = tuple[str, Load]


def _by_load(run: Run) -> dict[_Key, list[Stage]]:
    found: dict[_Key, list[Stage]] = {}
    for stage in run.stages:
        if stage.due:
            found.setdefault((stage.section, stage.load), []).append(stage)
    return found


def _stage(
    key: _Key, before: Sequence[Stage], after: Sequence[Stage], *, floor: float, level: float
) -> StageComparison:
    windows = [[window for stage in side for window in stage.measured] for side in (before, after)]
    latency = [[window.all_latency for window in side] for side in windows]
    rate = [quotient([each.ended for each in side], [each.seconds for each in side]) for side in windows]
    means = [quotient([each.total for each in side], [each.count for each in side]) for side in latency]
    errors = [
        quotient([each.due - each.codes.get("OK", 0) for each in side], [each.due for each in side])
        for side in windows
    ]
    mean = _milliseconds(difference(*means, floor=floor, level=level))
    return StageComparison(
        section=key[0],
        load=key[1],
        rate=difference(*rate, floor=floor, level=level),
        p50=_milliseconds(difference(*(percentile(side, 0.5) for side in latency), floor=floor, level=level)),
        p99=_milliseconds(
            difference(*(percentile(side, 0.99) for side in latency), floor=floor, level=level)
        ),
        mean=mean,
        errors=difference(*errors, floor=_ERRORS_FLOOR, level=level, absolute=True),
        parts=_parts(before, after, mean, floor=floor),
        core_ms=_core_ms(before, after, floor=floor, level=level),
        ended=_ended(after) if not _ended(before) else "",
    )


def _ended(stages: Sequence[Stage]) -> str:
    """The first sentence on a stage that ended before its time."""
    return next((stage.ended for stage in stages if stage.ended), "")


def _milliseconds(of_seconds: Difference) -> Difference:
    return dataclasses.replace(of_seconds, before=1000 * of_seconds.before, after=1000 * of_seconds.after)


def _parts(
    before: Sequence[Stage], after: Sequence[Stage], mean: Difference, *, floor: float
) -> dict[str, Difference]:
    """Of a request of the kinds that both have, by the kinds' shares in both together."""
    split = [[stage.server.parts for stage in side if stage.server.parts] for side in (before, after)]
    if not all(split):
        return {}
    kinds = [kind for kind in split[0][0] if all(kind in parts for side in split for parts in side)]
    weights = kind_weights(kinds, [*before, *after])
    sides = [_mean_of_each([weighted_parts(parts, weights) for parts in side]) for side in split]
    if mean.low is None or mean.high is None:
        noise = FLOORS_WITHOUT_BLOCKS * floor
    else:
        noise = max(floor, (mean.high - mean.low) / 2)
    found = {}
    for part in {**sides[0], **sides[1]}:
        first, second = (side.get(part, 0.0) for side in sides)
        beyond = abs(second - first) > noise * mean.before
        found[part] = Difference(before=first, after=second, low=None, high=None, beyond_noise=beyond)
    return found


def _mean_of_each(stages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Part by part; one that a stage lacks took nothing of it."""
    parts = dict.fromkeys(part for stage in stages for part in stage)
    return {part: sum(stage.get(part, 0.0) for stage in stages) / len(stages) for part in parts}


def _core_ms(
    before: Sequence[Stage], after: Sequence[Stage], *, floor: float, level: float
) -> dict[str, Difference]:
    found = {}
    for process in _processes(before, after):
        rounds = [_rounds(side, process) for side in (before, after)]
        if all(rounds):
            blocks = [quotient(side, [1.0] * len(side)) for side in rounds]
            found[process] = difference(*blocks, floor=floor, level=level)
        else:
            found[process] = once(_once(before, process), _once(after, process), floor=floor)
    if not found:
        return {}
    least = _LEAST_OF_ALL * found[ALL].before
    return {
        process: dataclasses.replace(
            each, beyond_noise=each.beyond_noise and abs(each.after - each.before) > least
        )
        for process, each in found.items()
    }


def _processes(before: Sequence[Stage], after: Sequence[Stage]) -> list[str]:
    """All together first; none where a run has none."""
    sides = [
        dict.fromkeys(process for stage in side for process in stage.server.core_ms)
        for side in (before, after)
    ]
    return [ALL, *{**sides[0], **sides[1]}] if all(sides) else []


def _rounds(stages: Sequence[Stage], process: str) -> list[float]:
    """A process's core-ms round by round; none where a stage has them of the whole only."""
    found: list[float] = []
    for stage in stages:
        by_process = stage.server.core_ms_rounds
        if not by_process or (process in stage.server.core_ms and process not in by_process):
            return []
        rounds = range(min(map(len, by_process.values())))
        mine = list(by_process.values()) if process == ALL else [by_process.get(process, ())]
        found += [sum(each[index] for each in mine if each) for index in rounds]
    return found


def _once(stages: Sequence[Stage], process: str) -> float:
    figures = [
        sum(stage.server.core_ms.values()) if process == ALL else stage.server.core_ms.get(process, 0.0)
        for stage in stages
        if stage.server.core_ms
    ]
    return sum(figures) / len(figures)


def _searches(before: Run, after: Run) -> Iterator[str]:
    for first in before.searches:
        for second in after.searches:
            if (first.objective, first.arrivals) == (second.objective, second.arrivals):
                rates = [
                    "no rate that was tried" if each.rate is None else f"{each.rate:g}/s"
                    for each in (first, second)
                ]
                yield (
                    f"{first.objective} was kept at {rates[0]} before, at {rates[1]} after ({first.arrivals})"
                )


def _disagreements(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Of what the runs were measured on, what is not the same."""
    for name in _MUST_AGREE:
        first, second = (dict(_leaves(about.get(name, {}), "")) for about in (before, after))
        differing = [
            key
            for key in {**first, **second}
            if first.get(key) != second.get(key) and not _both_local(first.get(key), second.get(key))
        ]
        if differing:
            shown = ", ".join(
                f"{key or name} {first.get(key, 'none')} -> {second.get(key, 'none')}"
                for key in differing[:3]
            )
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            yield f"the runs' {name} differ: {shown}{more}"


def _both_local(first: Any, second: Any) -> bool:
    """Whether both are addresses of gateways that were started here: their ports mean nothing."""
    return all(str(each).startswith("127.0.0.1:") for each in (first, second))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner: Sequence[tuple[Any, Any]]
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list | tuple):
        inner = list(enumerate(value))
    else:
        yield name, value
        return
    for key, each in inner:
        yield from _leaves(each, f"{name}.{key}" if name else str(key))


def _doubts(side: str, run: Run, shared: Sequence[_Key]) -> Iterator[str]:
    """What a reader must know of a run's stages before a comparison is believed."""
    if run.ended:
        yield f"the run {side} ended early: {run.ended}"
    for key, stages in _by_load(run).items():
        name = f"{key[0]}, {key[1].name}"
        if key not in shared:
            yield f"only the run {side} has {name}"
            continue
        for stage in stages:
            if stage.ended:
                yield f"{name} {side} ended early: {stage.ended}"
            if stage.generator.limit:
                yield f"{name} {side}: {stage.generator.limit}"
            if not stage.stable:
                yield f"{name} {side} was not stable"
        if sum(len(stage.measured) for stage in stages) < _FEWEST_WINDOWS:
            yield f"{name} {side} has fewer than {_FEWEST_WINDOWS} windows: what differs is hardly known"
        if math.isnan(sum(stage.latency.mean for stage in stages)):
            yield f"{name} {side} has no answer"
