"""What a run shows in a sentence, and what a reader must know before believing it."""

import math
from collections.abc import Iterator

from deploy.loadtest.loads import ARRIVALS, OpenLoop
from deploy.loadtest.objectives import Objective, run_objective, supported
from deploy.loadtest.report.stages import STALL_SECONDS, closed_loops, figure, open_loops, percent, rate_of
from deploy.loadtest.results import Run, Stage

_QUOTED = "poisson"
_EACH = 2  # stages that the generator may have limited, up to which each has its sentence
_NOTHING_MORE = 1.03  # of a rate, up to which more clients bring nothing


def headline(run: Run) -> str:
    """What the server bears, and what comes beyond it."""
    objective = run_objective(run)
    arrivals = _arrivals(run)
    stages = open_loops(run, arrivals)
    if objective is not None and stages:
        return _under(objective, run, stages, arrivals)
    if closed_loops(run):
        return f"{_most(closed_loops(run))}."
    if stages:
        best = max(stages, key=lambda stage: stage.rate)
        return f"At {best.load.name} it answers {figure(best.rate)} requests a second; {_figures(best)}."
    if run.peers:
        return "Other tools were measured, each beside a load of this form."
    return "Nothing was measured."


def warnings(run: Run) -> list[str]:
    """Sentences, the generator's limits first."""
    return [*_limits(run), *_endings(run), *_stalls(run), *_unstable(run), *run.about.get("notes", ())]


def _arrivals(run: Run) -> str:
    """Those that a capacity is quoted for: of independent users where they were measured."""
    return next((arrivals for arrivals in (_QUOTED, *ARRIVALS) if open_loops(run, arrivals)), _QUOTED)


def _under(objective: Objective, run: Run, stages: list[Stage], arrivals: str) -> str:
    below = f"{objective.name} below {objective.duration}"
    lost = {rate_of(stage) for stage in stages if not objective.kept(stage)}
    kept = [rate_of(stage) for stage in stages if rate_of(stage) not in lost]
    found = [
        search.rate
        for search in run.searches
        if search.rate is not None and search.arrivals == arrivals and search.objective == objective.text
    ]
    rate = max(found, default=max(kept, default=0.0))
    beyond = next((stage for stage in stages if rate_of(stage) > rate and not objective.kept(stage)), None)
    if not rate:
        least = stages[0]
        return f"No rate that was tried keeps {below}: at {least.load.name}, {_figures(least, objective)}."
    form = "" if arrivals == _QUOTED else f" ({arrivals})"
    text = f"Bears {rate:.4g} requests a second{form} with {below}{_few(objective, rate, stages)}"
    if beyond is not None:
        return f"{text}; beyond that, at {rate_of(beyond):.4g} a second, {_figures(beyond, objective)}."
    if closed_loops(run):
        most = _most(closed_loops(run))
        return f"{text}, the highest rate that was tried. {most}."
    return f"{text}, the highest rate that was tried."


def _few(objective: Objective, rate: float, stages: list[Stage]) -> str:
    """Where the objective's percentile is of too few requests: of how many."""
    counts = [stage.due for stage in stages if math.isclose(rate_of(stage), rate, rel_tol=0.01)]
    if not counts or supported(objective.share, max(counts)):
        return ""
    return f" (of {max(counts)} requests, which are few for {objective.name})"


def _most(stages: list[Stage]) -> str:
    """Of closed loops: their highest rate, with the fewest clients that have it."""
    highest = max(stage.rate for stage in stages)
    first = next(stage for stage in stages if stage.rate * _NOTHING_MORE >= highest)
    text = f"Answers {figure(first.rate)} requests a second at {first.load.name}; {_figures(first)}"
    last = stages[-1]
    if last is first:
        return text
    return f"{text}. With {last.load.name} it answers {figure(last.rate)} a second; {_figures(last)}"


def _figures(stage: Stage, objective: Objective | None = None) -> str:
    """The objective's percentile, or p99, and what got no answer."""
    name = "p99" if objective is None else objective.name
    value = stage.latency.percentile(0.99 if objective is None else objective.share)
    lost = "" if not stage.error_share else f" and {percent(stage.error_share)} of the requests get no answer"
    if math.isnan(value):
        return "no request gets an answer"
    return f"{name} is {figure(1000 * value)} ms{lost}"


def _limits(run: Run) -> Iterator[str]:
    limited = [stage for stage in run.plan if stage.generator.limit]
    if len(limited) <= _EACH:
        yield from (f"{stage.load.name} ({stage.section}): {stage.generator.limit}" for stage in limited)
        return
    first, *others = limited
    names = "; ".join(dict.fromkeys(stage.load.name for stage in others))
    yield (
        f"{first.load.name} ({first.section}): {first.generator.limit}. So it was in {len(others)} more of "
        f"{len(run.plan)} stages, whose figures stand below: {names}"
    )


def _endings(run: Run) -> Iterator[str]:
    if run.ended:
        yield f"The run ended early: {run.ended}"
    for stage in run.plan:
        if stage.ended and stage.ended not in run.ended:
            yield f"{stage.section}, {stage.load.name} ended early: {stage.ended}"


def _stalls(run: Run) -> Iterator[str]:
    for stage in run.plan:
        if stage.gap >= STALL_SECONDS:
            seen = "" if isinstance(stage.load, OpenLoop) else ", which a closed loop's percentiles hide"
            yield (
                f"For {figure(stage.gap)} s, from second {figure(stage.gap_begin)} of {stage.load.name} "
                f"({stage.section}) on, no answer arrived though requests were under way{seen}"
            )


def _unstable(run: Run) -> Iterator[str]:
    names = [stage.load.name for stage in run.plan if not stage.stable]
    if names:
        yield (
            f"{len(names)} of {len(run.plan)} stages did not settle within the stated spread, "
            f"so that another run may differ: {'; '.join(dict.fromkeys(names))}"
        )
