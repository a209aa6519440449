"""What differs between two load tests beyond noise.

    python -m deploy.loadtest.compare BEFORE/report.json AFTER/report.json

Ends with status 1 where something got worse beyond noise: fewer answers a second, a higher p50 or p99, more
errors, more core-ms of all processes together.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.loadtest.comparison import ALL, Comparison, compare
from deploy.loadtest.results import Run
from deploy.measuring.command import command, parser_of
from qface_client.measuring.differences import FLOOR, Difference


@command("compare")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, 1 where something got worse, or 2 with one sentence on standard error."""
    parser = parser_of("deploy.loadtest.compare", __doc__)
    parser.add_argument("before", type=Path, help="report.json, or the folder that holds it")
    parser.add_argument("after", type=Path, help="the same of the later run")
    parser.add_argument(
        "--floor",
        type=float,
        default=FLOOR,
        help=f"a smaller relative difference is noise (default: {FLOOR})",
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.floor < math.inf:
        raise ValueError(f"a floor of {options.floor} is none: give a share as 0.05")
    runs = [
        Run.read(path / "report.json" if path.is_dir() else path) for path in (options.before, options.after)
    ]
    compared = compare(*runs, floor=options.floor)
    for warning in compared.warnings:
        print(f"compare: {warning}", file=sys.stderr)
    print(report(compared))
    return 1 if compared.worse else 0


def report(compared: Comparison) -> str:
    """Markdown: a row a load, what differs beyond noise in bold; each difference; what it comes of."""
    lines = [
        "| load | answers/s | p50, ms | p99, ms | errors | core-ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {stage.name} | {_cell(stage.rate)} | {_cell(stage.p50)} | {_cell(stage.p99)} "
        f"| {_cell(stage.errors)} | {_cell(stage.core_ms[ALL]) if ALL in stage.core_ms else ''} |"
        for stage in compared.stages
    ]
    found = [(stage, name, each) for stage in compared.stages for name, each in stage.differing()]
    if found:
        lines += [
            "",
            "| differs beyond noise | what | before | after | change | interval of all together |",
            "|---|---|---:|---:|---:|---|",
        ]
        lines += [
            f"| {stage.name} | {name} | {_number(each.before, each)} | {_number(each.after, each)} "
            f"| {_change(each)} | {_interval(each)} |"
            for stage, name, each in found
        ]
    lines += ["", *compared.searches, *_conclusions(compared)]
    return "\n".join(lines)


def _conclusions(compared: Comparison) -> list[str]:
    count = len(compared.stages)
    loads = f"{count} load" if count == 1 else f"{count} loads"
    if not any(list(stage.differing()) or stage.worse for stage in compared.stages):
        return [f"Nothing differs beyond noise in {loads}."]
    cause = compared.cause()
    worse = [f"{stage.name} ({', '.join(stage.worse)})" for stage in compared.stages if stage.worse]
    lines = [f"{cause[0].upper()}{cause[1:]}."] if cause else []
    return [*lines, f"Worse beyond noise: {'; '.join(worse)}." if worse else f"Nothing got worse in {loads}."]


def _cell(value: Difference) -> str:
    text = f"{_number(value.before, value)} → {_number(value.after, value)} ({_change(value)})"
    return f"**{text}**" if value.beyond_noise else text


def _number(value: float, of: Difference) -> str:
    if math.isnan(value):
        return "none"
    return f"{100 * value:.2f} %" if of.absolute else f"{value:.4g}"


def _change(value: Difference) -> str:
    if value.absolute:
        return f"{100 * (value.after - value.before):+.2f} points"
    if math.isnan(value.before) or math.isnan(value.after):
        return "not known"
    return f"{value.change:+.1%}" if value.before or not value.after else "new"


def _interval(value: Difference) -> str:
    if value.low is None or value.high is None:
        return "one figure each"
    if value.absolute:
        return f"{100 * value.low:+.2f} to {100 * value.high:+.2f} points"
    return f"{value.low - 1:+.1%} to {value.high - 1:+.1%}" if math.isfinite(value.low) else "from nothing"


if __name__ == "__main__":
    sys.exit(main())
