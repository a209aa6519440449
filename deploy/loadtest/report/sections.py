"""A run's report, section by section: text, plots and tables."""

import functools
from collections.abc import Mapping, Sequence

from deploy.loadtest.loads import ARRIVALS, OpenLoop
from deploy.loadtest.objectives import Objective, run_objective, supported
from deploy.loadtest.parts import mean_parts
from deploy.loadtest.peers.outcome import NOT_MEASURED
from deploy.loadtest.report import tables
from deploy.loadtest.report.content import Plot, Section, Table
from deploy.loadtest.report.peers import peers_section
from deploy.loadtest.report.plots import bars, distribution, timeline
from deploy.loadtest.report.plots.loads import clients, rates
from deploy.loadtest.report.stages import (
    closed_loops,
    figure,
    names,
    open_loops,
    percent,
    sections,
    with_others,
)
from deploy.loadtest.results import PEERS, Run, Stage, waits

_ELSEWHERE = ("work", "requirements", "notes", NOT_MEASURED)  # of about: what is shown on its own
_ON_THE_WAY = ("search", PEERS)  # sections whose stages would crowd plots of all
_FEWEST_OF_A_CURVE = 2
_MEDIAN = 0.5


def report_sections(run: Run) -> list[Section]:
    """Those that the run has something for, in the order of a report."""
    objective = run_objective(run)
    found = [
        _closed(run, objective),
        *(_open(run, arrivals, objective) for arrivals in ARRIVALS),
        _search(run),
        _soak(run, objective),
        _distribution(run, objective),
        _time(run),
        _processors(run),
        _errors(run),
        peers_section(run),
        _windows(run, objective),
        _more(run),
        _measured(run),
    ]
    return [section for section in found if section is not None]


def _closed(run: Run, objective: Objective | None) -> Section | None:
    stages = [stage for stage in closed_loops(run) if stage.section != "soak"]
    if not stages:
        return None
    alt = "; ".join(f"{stage.load.name}: {_rates(stage)}" for stage in stages)
    return Section(
        name="clients",
        title="With more clients",
        text=[
            "Each client sends again once it was answered, so that the server is never offered more than it "
            "answers: this shows how much it can answer, not how late it is for those who come on their own."
        ],
        plots=[
            Plot(
                name="clients",
                title="Answers a second and latency against clients",
                alt=f"Answers a second and p99 by clients. {alt}.",
                draw=functools.partial(clients, stages, objective),
            )
        ],
        tables=[tables.loads_table(stages, "By clients", objective)],
    )


def _open(run: Run, arrivals: str, objective: Objective | None) -> Section | None:
    stages = [stage for stage in open_loops(run, arrivals) if stage.section != "soak"]
    if not stages:
        return None
    alt = "; ".join(f"{stage.load.name}: {_rates(stage)}" for stage in stages)
    plot = Plot(
        name=f"rates-{arrivals}",
        title="Latency, answers and goodput against the rate that is offered",
        alt=f"Latency from when each request was due, by the rate offered. {alt}.",
        draw=functools.partial(rates, stages, objective),
    )
    return Section(
        name=f"rates-{arrivals}",
        title=f"With requests that come on their own: {arrivals}",
        text=[
            "Requests come whether or not those before were answered. A latency counts from when its request "
            "was due, so that what waits behind a stall is as late as its user would see it."
        ],
        plots=[plot] if len(stages) >= _FEWEST_OF_A_CURVE else [],
        tables=[tables.loads_table(stages, "By rate", objective)],
    )


def _search(run: Run) -> Section | None:
    table = tables.searches_table(run)
    return None if table is None else Section(name="search", title="Search", tables=[table])


def _soak(run: Run, objective: Objective | None) -> Section | None:
    stages = sections(run).get("soak", [])
    if not stages:
        return None
    return Section(
        name="soak", title="Soak", tables=[tables.loads_table(stages, "One load for long", objective)]
    )


def _distribution(run: Run, objective: Objective | None) -> Section | None:
    loads = [("by clients, ms", closed_loops(run))]
    loads += [(f"by rate offered ({arrivals}), ms", open_loops(run, arrivals)) for arrivals in ARRIVALS]
    panels = [
        (title, distribution.thinned(list(zip(names(stages), stages, strict=True))))
        for title, found in loads
        if (stages := [stage for stage in _plotted(found) if supported(_MEDIAN, stage.latency.count)])
    ]
    if not panels:
        return None
    shown = [name for _, stages in panels for name, _ in stages]
    return Section(
        name="distribution",
        title="How latencies are distributed",
        plots=[
            Plot(
                name="distribution",
                title="The latency that a share of the answers does not exceed, as far as enough show it",
                alt=f"A curve each of latency against the share of answers: {', '.join(shown)}.",
                draw=functools.partial(distribution.curves, panels, objective),
            )
        ],
    )


def _time(run: Run) -> Section | None:
    stages = _plotted([stage for stage in run.stages if stage.server.parts])
    parts = with_others([mean_parts(stage) for stage in stages])
    rows = [(name, own) for name, own in zip(names(stages), parts, strict=True) if own]
    table = tables.split_table(run.stages)
    steps = tables.steps_table(run.stages)
    held = [each for each in (table, steps) if each is not None]
    notes = dict.fromkeys(note for stage in run.stages for note in stage.server.notes)
    if not held and not notes:
        return None
    waiting = [part for part in dict.fromkeys(part for _, parts in rows for part in parts) if waits(part)]
    plot = Plot(
        name="split",
        title="The mean latency of a request, by what it was spent on",
        alt="; ".join(f"{name}: {_listed(parts)}" for name, parts in rows),
        draw=functools.partial(bars.split, rows, waiting),
    )
    return Section(
        name="time",
        title="Where the time of a request goes",
        text=list(notes),
        plots=[plot] if rows else [],
        tables=held,
    )


def _plotted(stages: Sequence[Stage]) -> list[Stage]:
    """Those whose bars and curves are drawn: without what was tried on the way, where there is more."""
    own = [stage for stage in stages if stage.section not in _ON_THE_WAY]
    return own or list(stages)


def _processors(run: Run) -> Section | None:
    stages = _plotted([stage for stage in run.stages if stage.server.core_ms])
    rows = list(zip(names(stages), with_others([stage.server.core_ms for stage in stages]), strict=True))
    found = [tables.processor_table(run.stages), tables.memory_table(run.stages)]
    held = [each for each in found if each is not None]
    if not held:
        return None
    plot = Plot(
        name="processors",
        title="Processor time of an answer by process",
        alt="; ".join(f"{name}: {_listed(by_process)} core-ms" for name, by_process in rows),
        draw=functools.partial(bars.stacked, rows, "core-ms of an answer"),
    )
    return Section(
        name="processors",
        title="Processor time and memory",
        text=["A core has 1000 core-ms a second: 40 core-ms an answer are 25 answers a second on each core."],
        plots=[plot] if rows else [],
        tables=held,
    )


def _errors(run: Run) -> Section | None:
    found = [tables.errors_table(run.stages), tables.refusals_table(run.stages)]
    held = [each for each in found if each is not None]
    return Section(name="errors", title="Errors", tables=held) if held else None


def _windows(run: Run, objective: Objective | None) -> Section | None:
    plots = [
        Plot(
            name=f"windows-{index}",
            title=f"{section.capitalize()}: window after window",
            alt=f"Requests due and answered, latency and errors over time. {_over_time(stages)}",
            draw=functools.partial(
                timeline.windows, list(zip(names(stages), stages, strict=True)), objective
            ),
        )
        for index, (section, stages) in enumerate(sections(run).items())
        if any(stage.windows for stage in stages)
    ]
    return Section(name="windows", title="Over time", plots=plots) if plots else None


def _more(run: Run) -> Section | None:
    if not run.stages:
        return None
    found: list[Table | None] = [tables.kinds_table(run.stages), tables.generator_table(run.stages)]
    return Section(name="more", title="More figures", tables=[each for each in found if each is not None])


def _measured(run: Run) -> Section:
    found = [tables.about_table(run.about, _ELSEWHERE), tables.work_table(run.about.get("work", ()))]
    return Section(
        name="about", title="What was measured on what", tables=[each for each in found if each is not None]
    )


def _rates(stage: Stage) -> str:
    p99 = figure(1000 * stage.latency.percentile(0.99))
    lost = f", {percent(stage.error_share)} without an answer" if stage.error_share else ""
    return f"{figure(stage.rate)} answers/s, p99 {p99 or 'unknown'} ms{lost}"


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure(value)}" for name, value in figures.items())


def _over_time(stages: Sequence[Stage]) -> str:
    sentences = []
    for stage in stages:
        kind = "due" if isinstance(stage.load, OpenLoop) else "sent"
        worst = max(
            (window.all_latency.most for window in stage.windows if window.all_latency.count), default=0.0
        )
        sentences.append(
            f"{stage.load.name}: {len(stage.windows)} windows, {figure(stage.offered)} a second {kind}, "
            f"the slowest answer after {figure(1000 * worst)} ms, the longest gap {stage.gap:.2f} s."
        )
    return " ".join(sentences)
