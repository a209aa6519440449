"""The figures of a run as tables."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.loadtest.loads import OpenLoop
from deploy.loadtest.objectives import FEWEST_BEYOND, Objective, supported
from deploy.loadtest.report.content import Table, number, words
from deploy.loadtest.report.stages import figure, names, percent, with_others
from deploy.loadtest.results import Run, Stage
from qface_client.measuring.histogram import Histogram
from qface_client.measuring.percentiles import SHARES, percentile_name

_MIB = 2**20
_PERCENTILES = tuple(number(percentile_name(share)) for share in SHARES)  # in ms, as titles have it
FEW = (
    f"In brackets: percentiles that fewer than {FEWEST_BEYOND} answers lie beyond, so that chance makes them."
)

_IDLE = "A process without memory in one row and with some in another was idle there: among the idle models."


def loads_table(stages: Sequence[Stage], title: str, objective: Objective | None) -> Table:
    """A row a stage: rates, percentiles, errors, processor time."""
    rated = any(isinstance(stage.load, OpenLoop) for stage in stages)
    faces = any(stage.faces for stage in stages)
    core_ms = any(stage.server.core_ms for stage in stages)
    goodput = objective if rated else None
    rows = []
    for name, stage in zip(names(stages), stages, strict=True):
        cells = [name]
        cells += [figure(stage.offered)] if rated else []
        cells += [figure(stage.rate)]
        cells += [figure(stage.faces)] if faces else []
        cells += percentile_cells(stage.latency)
        cells += [figure(stage.goodput(goodput.seconds))] if goodput else []
        cells += [percent(stage.error_share), f"{stage.gap:.2f}", "yes" if stage.stable else "no"]
        cells += (
            [figure(sum(stage.server.core_ms.values())) if stage.server.core_ms else ""] if core_ms else []
        )
        rows.append(cells)
    columns = [
        words("load"),
        *((number("offered/s"),) if rated else ()),
        number("answered/s"),
        *((number("faces/s"),) if faces else ()),
        *_PERCENTILES,
        *((number("goodput/s"),) if goodput else ()),
        number("errors"),
        number("gap, s"),
        words("stable"),
        *((number("core-ms"),) if core_ms else ()),
    ]
    return Table(title=f"{title} (latency in ms)", columns=columns, rows=rows, note=_notes(rows, goodput))


def percentile_cells(latency: Histogram) -> list[str]:
    """Milliseconds; in brackets where too few answers have them."""
    cells = []
    for share in SHARES:
        text = figure(1000 * latency.percentile(share))
        cells.append(text if not text or supported(share, latency.count) else f"({text})")
    return cells


def kinds_table(stages: Sequence[Stage]) -> Table | None:
    """A row a stage and kind; None where there is one kind only."""
    rows = [
        [name, kind, str(latency.count), *percentile_cells(latency)]
        for name, stage in zip(names(stages), stages, strict=True)
        for kind, latency in stage.latency_by_kind().items()
        if len(stage.latency_by_kind()) > 1
    ]
    if not rows:
        return None
    return Table(
        title="Latency by kind of request, ms",
        columns=[words("load"), words("kind"), number("answers"), *_PERCENTILES],
        rows=rows,
        note=_few(rows),
        folded=True,
    )


def errors_table(stages: Sequence[Stage]) -> Table | None:
    """A row a stage and status; None where everything was answered."""
    rows = [
        [
            name,
            failure.code,
            str(failure.count),
            f"{failure.first:.1f} to {failure.last:.1f}",
            failure.details,
        ]
        for name, stage in zip(names(stages), stages, strict=True)
        for failure in stage.failures
    ]
    if not rows:
        return None
    return Table(
        title="Requests without an answer, by status",
        columns=[
            words("load"),
            words("status"),
            number("requests"),
            number("seconds of the stage"),
            words("the first one's sentence"),
        ],
        rows=rows,
        note="The warm-up's are among them.",
    )


def refusals_table(stages: Sequence[Stage]) -> Table | None:
    """What the gateway refused, by its reason; None where it refused nothing."""
    rows = [
        [
            name,
            reason,
            str(count),
            f"{stage.server.in_flight_limit:g}" if stage.server.in_flight_limit else "",
        ]
        for name, stage in zip(names(stages), stages, strict=True)
        for reason, count in stage.server.refused.items()
        if count
    ]
    if not rows:
        return None
    return Table(
        title="Requests that the gateway refused",
        columns=[words("load"), words("reason"), number("requests"), number("limit in flight at the end")],
        rows=rows,
    )


def split_table(stages: Sequence[Stage]) -> Table | None:
    """A row a stage and kind: the parts of the mean latency; None where no stage has them."""
    split = [
        (name, kind, parts)
        for name, stage in zip(names(stages), stages, strict=True)
        for kind, parts in stage.server.parts.items()
    ]
    if not split:
        return None
    return _by_key("Where the time of a request goes, ms", ("load", "request"), split, folded=True)


def processor_table(stages: Sequence[Stage]) -> Table | None:
    """A row a stage: core-ms of an answer by process; None where they could not be measured."""
    rows = [
        (name, stage.server.core_ms)
        for name, stage in zip(names(stages), stages, strict=True)
        if stage.server.core_ms
    ]
    return _by_key("Processor time of an answer by process, core-ms", ("load",), rows) if rows else None


def memory_table(stages: Sequence[Stage]) -> Table | None:
    """A row a stage: MiB by process; None where it could not be measured."""
    rows = [
        (name, {process: held / _MIB for process, held in stage.server.memory.items()})
        for name, stage in zip(names(stages), stages, strict=True)
        if stage.server.memory
    ]
    if not rows:
        return None
    table = _by_key("Memory at the end of each stage, MiB", ("load",), rows, folded=True)
    return dataclasses.replace(table, note=_IDLE)


def steps_table(stages: Sequence[Stage]) -> Table | None:
    """A row a stage and model, of the server's own statistics; None where they could not be had."""
    rows = [
        [
            name,
            step.model,
            str(step.requests),
            figure(step.batch),
            *(figure(value) for value in (step.queue, step.copy_in, step.infer, step.copy_out)),
            str(step.failed),
            ", ".join(f"{batch}: {figure(mean)}" for batch, (_, mean) in step.infer_by_batch.items()),
        ]
        for name, stage in zip(names(stages), stages, strict=True)
        for step in stage.server.steps
    ]
    if not rows:
        return None
    return Table(
        title="Models, by the server's own statistics: milliseconds of a request",
        columns=[
            words("load"),
            words("model"),
            *map(number, ("requests", "batch", "queue", "copy in", "infer", "copy out", "failed")),
            words("ms of an execution by its batch"),
        ],
        rows=rows,
        note="Of an ensemble, infer is the time of its steps.",
        folded=True,
    )


def generator_table(stages: Sequence[Stage]) -> Table:
    """A row a stage: what the generator measured of itself."""
    return Table(
        title="The generator",
        columns=[
            words("load"),
            *map(number, ("processes", "late, p99, ms", "busiest process, % of a core", "core-ms a request")),
            words("limit"),
        ],
        rows=[
            [
                name,
                str(stage.generator.processes),
                figure(1000 * stage.generator.late_p99) if isinstance(stage.load, OpenLoop) else "",
                figure(100 * stage.generator.busiest),
                figure(1000 * stage.generator.core_seconds / max(1, _requests(stage))),
                stage.generator.limit,
            ]
            for name, stage in zip(names(stages), stages, strict=True)
        ],
        folded=True,
    )


def searches_table(run: Run) -> Table | None:
    if not run.searches:
        return None
    return Table(
        title="The highest rate that keeps the objective",
        columns=[words("objective"), words("arrivals"), number("requests/s"), words("how it ended")],
        rows=[
            [each.objective, each.arrivals, "none" if each.rate is None else figure(each.rate), each.sentence]
            for each in run.searches
        ],
    )


def requirements_table(run: Run) -> Table | None:
    verdicts = run.about.get("requirements", ())
    if not verdicts:
        return None
    return Table(
        title="Requirements",
        columns=[words("requirement"), words("kept"), words("measured")],
        rows=[[each["requirement"], "yes" if each["kept"] else "NO", each["sentence"]] for each in verdicts],
        strong=frozenset((row, 1) for row, each in enumerate(verdicts) if not each["kept"]),
    )


def about_table(about: Mapping[str, Any], left_out: Sequence[str]) -> Table:
    """A row a value: what was measured on what."""
    rows = [
        [key, value]
        for name, given in about.items()
        if name not in left_out
        for key, value in _leaves(given, name)
    ]
    return Table(title="What was measured on what", columns=[words(""), words("")], rows=rows)


def work_table(work: Sequence[Mapping[str, Any]]) -> Table | None:
    """A row a kind of request."""
    if not work:
        return None
    keys = list(dict.fromkeys(key for each in work for key in each))
    rows = [[_text(each.get(key, "")) for key in keys] for each in work]
    numbers = {key for key in keys if all(isinstance(each.get(key, 0), int | float) for each in work)}
    columns = [number(key) if key in numbers else words(key) for key in keys]
    return Table(title="What was sent", columns=columns, rows=rows)


def _by_key(
    title: str, first: Sequence[str], rows: Sequence[tuple[Any, ...]], *, folded: bool = False
) -> Table:
    """Rows of names with, last, a mapping of figures: a column a key, and one for their sum."""
    figures_of = with_others([figures for *_, figures in rows])
    rows = [(*own, figures) for (*own, _), figures in zip(rows, figures_of, strict=True)]
    keys = list(dict.fromkeys(key for *_, figures in rows for key in figures))
    return Table(
        title=title,
        columns=[*map(words, first), *map(number, keys), number("all")],
        rows=[
            [
                *own,
                *(figure(figures[key]) if key in figures else "" for key in keys),
                figure(sum(figures.values())),
            ]
            for *own, figures in rows
        ],
        folded=folded,
    )


def _notes(rows: Sequence[Sequence[str]], objective: Objective | None) -> str:
    notes = ["gap: the longest time without an answer while requests were under way."]
    if objective is not None:
        notes.append(f"goodput: answers within {objective.duration}.")
    return " ".join([*notes, _few(rows)]).strip()


def _few(rows: Sequence[Sequence[str]]) -> str:
    return FEW if any(cell.startswith("(") for row in rows for cell in row[1:]) else ""


def _requests(stage: Stage) -> int:
    return sum(window.due for window in stage.windows)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}: {key}")
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
