"""Other tools' figures beside ours."""

import functools
from collections.abc import Sequence

from deploy.loadtest.peers.comparison import RATE, TOLERANCE, Row, rows
from deploy.loadtest.peers.outcome import NOT_MEASURED
from deploy.loadtest.report.content import Plot, Section, Table, number, words
from deploy.loadtest.report.plots import bars
from deploy.loadtest.report.stages import figure
from deploy.loadtest.report.tables import loads_table
from deploy.loadtest.results import PEERS, Run

_SHOWN = ("p50", "p90", "p99")


def peers_section(run: Run) -> Section | None:
    """None where no other tool was tried."""
    compared = rows(run.stages, run.peers)
    missing = list(run.about.get(NOT_MEASURED, ()))
    if not compared and not missing:
        return None
    stages = [stage for stage in run.stages if stage.section == PEERS]
    own = [loads_table(stages, "Our own loads beside them, each round", None)] if stages else []
    return Section(
        name="peers",
        title="Other tools on the same work",
        text=missing,
        plots=[_plot(compared)] if any(row.ours for row in compared) else [],
        tables=[_table(compared), _notes(compared), *own] if compared else [],
    )


def _table(compared: Sequence[Row]) -> Table:
    """Theirs and ours in a cell; strong where they differ by more than the tolerance."""
    cells, strong = [], set()
    for index, row in enumerate(compared):
        peer = row.peer
        own = [peer.tool, f"{peer.scenario}: {peer.beside}", peer.kind]
        for name in (RATE, *_SHOWN):
            if abs(row.ratios.get(name, 1.0) - 1) > TOLERANCE:
                strong.add((index, len(own)))
            own.append(_cell(row, name))
        cells.append([*own, peer.valid])
    return Table(
        title="Theirs / ours",
        columns=[
            *map(words, ("tool", "load", "request")),
            *map(number, ("answers/s", *(f"{name}, ms" for name in _SHOWN))),
            words("its own verdict"),
        ],
        rows=cells,
        strong=frozenset(strong),
        note=f"Figures that differ by more than {TOLERANCE:.0%} are bold; why is below.",
    )


def _notes(compared: Sequence[Row]) -> Table:
    """A row a note; a difference that none explains has a row too."""
    found = []
    for row in compared:
        differing = [name for name, ratio in row.ratios.items() if abs(ratio - 1) > TOLERANCE]
        notes = list(row.peer.notes)
        if differing and not notes:
            notes = [f"{', '.join(differing)}: differ by more than {TOLERANCE:.0%}, and no reason is known"]
        if not row.ours:
            notes.append("no load of ours of this form was measured")
        found += [[row.peer.tool, row.peer.kind, note] for note in notes]
        found.append([row.peer.tool, row.peer.kind, f"command: {row.peer.command}"])
    return Table(
        title="Why they differ, rules that were overridden, commands",
        columns=[words("tool"), words("request"), words("note")],
        rows=found,
    )


def _plot(compared: Sequence[Row]) -> Plot:
    rates, latencies, sentences = [], [], []
    for row in compared:
        # As short as it can be: the table below has versions and outputs.
        load = f"{row.peer.tool.rpartition(' ')[0]}: {row.peer.kind.partition(',')[0]}, {row.peer.beside}"
        for name, ratio in row.ratios.items():
            if name == RATE:
                rates.append(bars.Beside(name=load, theirs=row.theirs[name], ours=row.ours[name]))
            elif name in _SHOWN:
                latencies.append(
                    bars.Beside(
                        name=f"{name} of {load}",
                        theirs=1000 * row.theirs[name],
                        ours=1000 * row.ours[name],
                    )
                )
            sentences.append(f"{load}, {row.peer.kind}: {name} is {ratio:.2f} of ours")
    return Plot(
        name="peers",
        title="Other tools' figures and ours",
        alt="; ".join(sentences),
        draw=functools.partial(bars.beside, rates, latencies),
    )


def _cell(row: Row, name: str) -> str:
    factor = 1.0 if name == RATE else 1000.0
    sides = [figure(factor * side[name]) if name in side else "none" for side in (row.theirs, row.ours)]
    return " / ".join(sides)
