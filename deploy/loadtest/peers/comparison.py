"""Two tools' figures of one load, side by side."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from deploy.loadtest.peers.tool import Measured
from deploy.loadtest.results import PEERS, Peer, Stage
from qface_client.measuring.percentiles import percentile_name

TOLERANCE = 0.1  # differences beyond it are explained
SHARES = (0.5, 0.9, 0.95, 0.99)
RATE = "rate"

Figures = Mapping[str, float]  # "rate" in answers a second, "p50" ... in seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A peer's figures and ours of the same load and kind, medians of rounds.

    ratios      theirs over ours, of the figures that both have
    """

    peer: Peer
    theirs: Figures
    ours: Figures
    ratios: Figures


def rows(stages: Sequence[Stage], peers: Sequence[Peer]) -> Sequence[Row]:
    """Each peer beside the stages of `PEERS` that have its load and its kind."""
    found = []
    for peer in peers:
        own = [
            of_stage(stage)
            for stage in stages
            if stage.section == PEERS
            and stage.load.name == peer.beside
            and peer.kind in stage.latency_by_kind()
        ]
        theirs = {RATE: peer.rate, **peer.percentiles}
        ours = medians(own)
        found.append(Row(peer=peer, theirs=theirs, ours=ours, ratios=ratios(theirs, ours)))
    return found


def of_stage(stage: Stage) -> Figures:
    """Of one of our own; no percentile where nothing was answered."""
    latency = stage.latency
    measured = (
        {percentile_name(share): latency.percentile(share) for share in SHARES} if latency.count else {}
    )
    return {RATE: stage.rate, **measured}


def of_measured(measured: Measured) -> Figures:
    return {RATE: measured.rate, **measured.percentiles}


def medians(rounds: Sequence[Figures]) -> Figures:
    """Of the figures that every round has."""
    if not rounds:
        return {}
    return {
        name: statistics.median(each[name] for each in rounds)
        for name in rounds[0]
        if all(name in each for each in rounds)
    }


def ratios(theirs: Figures, ours: Figures) -> Figures:
    return {name: theirs[name] / ours[name] for name in theirs if ours.get(name)}


def differences(
    theirs: Sequence[Figures], ours: Sequence[Figures], *, reasons: Mapping[str, str]
) -> Sequence[str]:
    """A sentence for each figure whose medians differ by more than `TOLERANCE`, with what is known of why.

    theirs, ours: of the rounds; reasons: of the tool, by figure.
    """
    theirs_middle, ours_middle = medians(theirs), medians(ours)
    return tuple(
        f"{name} {ratio - 1:+.0%} ({_stated(name, theirs_middle[name])} beside "
        f"{_stated(name, ours_middle[name])}): {'; '.join(_why(name, theirs, ours, reasons))}"
        for name, ratio in ratios(theirs_middle, ours_middle).items()
        if abs(ratio - 1) > TOLERANCE
    )


def _why(
    name: str, theirs: Sequence[Figures], ours: Sequence[Figures], reasons: Mapping[str, str]
) -> Sequence[str]:
    their_values, our_values = ([each[name] for each in rounds] for rounds in (theirs, ours))
    found = []
    if len(ours) == 1:
        found.append("measured once, which does not tell noise from a difference")
    elif max(min(their_values), min(our_values)) <= min(max(their_values), max(our_values)):
        spans = (f"{_stated(name, min(v))} to {_stated(name, max(v))}" for v in (their_values, our_values))
        found.append("the rounds overlap, " + " beside ".join(spans))
    if name in reasons:
        found.append(reasons[name])
    return found or ["no reason is known"]


def _stated(name: str, value: float) -> str:
    return f"{value:.1f}/s" if name == RATE else f"{1e3 * value:.1f} ms"


def table(compared: Sequence[Row]) -> str:
    """In Markdown: theirs / ours, and the ratio."""
    names = (RATE, "p50", "p90", "p99")
    lines = [
        "| tool | load | of | answers/s | p50 ms | p90 ms | p99 ms | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in compared:
        cells = (_cell(name, row) for name in names)
        peer = row.peer
        load = f"{peer.scenario}: {peer.beside}"
        lines.append(f"| {peer.tool} | {load} | {peer.kind} | {' | '.join(cells)} | {peer.valid} |")
    return "\n".join(lines)


def _cell(name: str, row: Row) -> str:
    if name not in row.theirs or name not in row.ours:
        return "—"
    factor = 1.0 if name == RATE else 1e3
    ratio = f" ({row.ratios[name]:.2f})" if name in row.ratios else ""
    return f"{factor * row.theirs[name]:.1f} / {factor * row.ours[name]:.1f}{ratio}"
