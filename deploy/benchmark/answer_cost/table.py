"""A run as Markdown."""

import statistics
from collections.abc import Sequence

from deploy.benchmark.answer_cost.figures import figures
from deploy.benchmark.answer_cost.figures import table as figures_table
from deploy.benchmark.answer_cost.results import Row, Run

_SMALLEST = 0.3  # core-ms: a process that takes less of every answer has no column of its own


def table(run: Run) -> str:
    """Medians of the rounds: what an answer takes by process, then rates and latencies."""
    served = [row for row in run.rows if "client" in row.parts]
    others = [row for row in run.rows if "client" not in row.parts]
    related = figures(run)
    return "\n\n".join(
        [
            _alone(run, others),
            *([_by_process(run, served), _rates(run, served)] if served else []),
            *([figures_table(related)] if related else []),
        ]
    )


def _alone(run: Run, rows: Sequence[Row]) -> str:
    lines = [
        "| without a server | core-ms | of the cheapest bare engine's | faces/s | steps, core-ms |",
        "|---|---:|---:|---:|---|",
    ]
    for row in rows:
        parts = {part: statistics.median(values) for part, values in row.parts.items()}
        steps = ", ".join(f"{part} {value:.1f}" for part, value in parts.items()) if len(parts) > 1 else ""
        lines.append(
            f"| {row.name} | {_median(row.core_ms)} | {_median(run.multiples(row), 2)} "
            f"| {_median(row.rate)} | {steps} |"
        )
    return "\n".join(lines)


def _by_process(run: Run, rows: Sequence[Row]) -> str:
    medians = [{part: statistics.median(values) for part, values in row.parts.items()} for row in rows]
    parts = dict.fromkeys(part for row in medians for part in row)
    shown = [part for part in parts if any(row.get(part, 0.0) >= _SMALLEST for row in medians)]
    lines = [
        f"| core-ms an answer | all | a face, of the bare engine's | {' | '.join(shown)} | others |",
        "|---|" + "---:|" * (len(shown) + 3),
    ]
    for row, of_parts in zip(rows, medians, strict=True):
        others = sum(value for part, value in of_parts.items() if part not in shown)
        cells = [f"{of_parts[part]:.1f}" if of_parts.get(part, 0.0) >= 0.05 else "" for part in shown]
        faces = "" if row.faces == 1 else f" ({row.faces} found)"
        lines.append(
            f"| {row.name}{faces} | {_median(row.core_ms)} | {_median(run.multiples(row), 2)} "
            f"| {' | '.join(cells)} | {others:.1f} |"
        )
    return "\n".join(lines)


def _rates(run: Run, rows: Sequence[Row]) -> str:
    lines = [
        "| | answers/s | faces/s, of the bare engine's | p50, ms | p99, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.name} | {_median(row.rate)} | {_median(run.rate_shares(row), 2)} | {_median(row.p50_ms, 0)} "
        f"| {_median(row.p99_ms, 0)} |"
        for row in rows
    ]
    return "\n".join(lines)


def _median(values: Sequence[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f}" if values else ""
