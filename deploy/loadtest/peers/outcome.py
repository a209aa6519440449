"""What other tools gave, as a part of a run."""

import dataclasses
from typing import Any

from deploy.loadtest.peers.comparison import rows, table
from deploy.loadtest.results import Peer, Run, Stage

NOT_MEASURED = "peers_not_measured"  # of a run's `about`


@dataclasses.dataclass
class Outcome:
    """What was measured, and a sentence on each tool or load that could not be."""

    stages: list[Stage] = dataclasses.field(default_factory=list)
    peers: list[Peer] = dataclasses.field(default_factory=list)
    not_measured: list[str] = dataclasses.field(default_factory=list)
    interrupted: bool = False


def added(run: Run, outcome: Outcome) -> Run:
    """The run with the outcome in place of what other tools gave it before."""
    about: dict[str, Any] = {key: value for key, value in run.about.items() if key != NOT_MEASURED}
    if outcome.not_measured:
        about[NOT_MEASURED] = list(outcome.not_measured)
    stages = tuple(run.plan)
    return dataclasses.replace(
        run, about=about, stages=(*stages, *outcome.stages), peers=tuple(outcome.peers)
    )


def summary(outcome: Outcome) -> str:
    """The table, the reasons of what differs, and what could not be measured."""
    compared = rows(outcome.stages, outcome.peers)
    lines = ["Other tools' figure / ours (ratio), medians of the rounds:", "", table(compared)]
    for row in compared:
        peer = row.peer
        lines += ["", f"{peer.tool}, {peer.scenario}: {peer.beside} of {peer.kind} ({peer.command})"]
        lines += [f"  - {note}" for note in peer.notes]
    if outcome.not_measured:
        lines += ["", "Not measured:", *(f"  - {sentence}" for sentence in outcome.not_measured)]
    return "\n".join(lines)
