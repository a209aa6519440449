"""What a run found: for people as Markdown, and whole as JSON."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from build.serving.host_settings import HostSettings
from deploy.measuring.plain_data import rounded
from deploy.tune.bare_engine import BareRow
from deploy.tune.descent import Duel, Round, Trial

FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that was measured, and what was chosen."""

    about: Mapping[str, Any]  # date, commit, command, machine, served
    bare: tuple[BareRow, ...]
    trials: tuple[Trial, ...]
    checks: Mapping[str, Duel]  # by workload, the settings that were taken against those of the start
    start: HostSettings
    taken: HostSettings  # step by step
    chosen: HostSettings  # those, or the start's where they were no better together

    def to_json(self) -> dict[str, Any]:
        trials = [
            {
                "knob": trial.knob.name,
                "workload": trial.knob.workload,
                "position": trial.position,
                "against": trial.incumbent,
                "taken": trial.duel is not None and trial.duel.won,
                **({"not_measured": trial.why_not} if trial.duel is None else {}),
                **_duel(trial.duel),
            }
            for trial in self.trials
        ]
        return {
            "format": FORMAT,
            **self.about,
            "bare_engine": rounded([dataclasses.asdict(row) for row in self.bare]),
            "trials": rounded(trials),
            "taken_against_start": rounded({name: _duel(duel) for name, duel in self.checks.items()}),
            "start": self.start.to_json(),
            "taken": self.taken.to_json(),
            "chosen": self.chosen.to_json(),
        }


def table(run: Run) -> str:
    """Medians of the rounds."""
    lines = [
        "| the engine alone | batch | core-ms a face | faces/s |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| threads {row.threads}, streams {row.streams} | {row.batch} "
        f"| {statistics.median(row.core_ms):.1f} | {statistics.median(row.rate):.1f} |"
        for row in run.bare
    ]
    lines += [
        "",
        "| knob | tried | against | core-ms | answers/s | of the other's core-ms | of its answers/s | |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    for trial in run.trials:
        begin = f"| {trial.knob.name} | {trial.position} | {trial.incumbent} "
        end = "taken" if trial.duel is not None and trial.duel.won else ""
        lines.append(f"{begin}{_cells(trial.duel)}| {end} |")
    for workload, duel in run.checks.items():
        lines.append(f"| all, {workload} | what was taken | start {_cells(duel)}| |")
    return "\n".join(lines)


def _cells(duel: Duel | None) -> str:
    if duel is None:
        return "| not measured | | | "
    core_ms = statistics.median(each.core_ms for each in duel.challenger)
    rate = statistics.median(each.rate for each in duel.challenger)
    return f"| {core_ms:.1f} | {rate:.1f} | {duel.core_ms:.2f} | {duel.rate:.2f} "


def _duel(duel: Duel | None) -> dict[str, Any]:
    if duel is None:
        return {}
    return {
        "rate_ratio": duel.rate,
        "core_ms_ratio": duel.core_ms,
        "incumbent": _side(duel.incumbent),
        "challenger": _side(duel.challenger),
    }


def _side(rounds: Sequence[Round]) -> dict[str, Any]:
    parts = dict.fromkeys(part for each in rounds for part in each.parts)
    return {
        "rate": [each.rate for each in rounds],
        "core_ms": [each.core_ms for each in rounds],
        "core_ms_by_process": {
            part: statistics.median(each.parts.get(part, 0.0) for each in rounds) for part in parts
        },
    }
