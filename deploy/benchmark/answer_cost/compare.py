"""What differs between two kept runs beyond noise.

    python -m deploy.benchmark.answer_cost.compare BEFORE.json AFTER.json

A row differs where the interval of the medians of its rounds excludes "the same", and they differ by more
than a floor: the rule of all comparisons here (`qface_client.measuring.differences`). It is looked at twice:
in core-ms, which hold for one machine in one mood, and in multiples of the bare engine of the same run, from
which a slower machine or busy neighbours cancel. Few rounds have wide intervals: compare runs of five.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.benchmark.answer_cost.results import Row, Run
from deploy.measuring.command import command, parser_of
from qface_client.measuring.differences import FLOOR, Difference, difference, median

_FEWEST_ROUNDS = 4
_ENGINE = ("runtime", "precision")  # of what is served: what its bare engine's cost depends on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row that both runs have."""

    name: str
    core_ms: Difference
    multiple: Difference
    rate: Difference
    p99_ms: Difference | None
    part: str  # the process or step whose core-ms changed most
    of_part: Difference


def compare(before: Run, after: Run, *, floor: float = FLOOR) -> list[Comparison]:
    """Every row of the same name; ValueError where there is none."""
    rows = {row.name: row for row in after.rows}
    found = []
    for row in before.rows:
        if (other := rows.get(row.name)) is None:
            continue
        parts = _by_part(row, other, floor=floor)
        part = max(parts, key=lambda name: abs(parts[name].after - parts[name].before))
        timed = row.p99_ms and other.p99_ms
        found.append(
            Comparison(
                name=row.name,
                core_ms=_of_rounds(row.core_ms, other.core_ms, floor),
                multiple=_of_rounds(before.multiples(row), after.multiples(other), floor),
                rate=_of_rounds(row.rate, other.rate, floor),
                p99_ms=_of_rounds(row.p99_ms, other.p99_ms, floor) if timed else None,
                part=part,
                of_part=parts[part],
            )
        )
    if not found:
        raise ValueError("the two runs have no row in common")
    return found


def _of_rounds(before: Sequence[float], after: Sequence[float], floor: float) -> Difference:
    return difference(median(before), median(after), floor=floor)


def _by_part(before: Row, after: Row, *, floor: float) -> dict[str, Difference]:
    """Of every process of both rows; one that a row lacks took nothing of it."""
    nothing = [(0.0,) * len(row.rate) for row in (before, after)]
    return {
        part: _of_rounds(before.parts.get(part, nothing[0]), after.parts.get(part, nothing[1]), floor)
        for part in {**before.parts, **after.parts}
    }


def table(comparisons: Sequence[Comparison]) -> str:
    """Markdown; what differs beyond noise is bold."""
    lines = [
        "| row | core-ms | of the bare engine's | most changed, core-ms | answers/s | p99, ms |",
        "|---|---:|---:|---|---:|---:|",
    ]
    lines += [
        f"| {each.name} | {_cell(each.core_ms, 1)} | {_cell(each.multiple, 2)} "
        f"| {each.part} {_cell(each.of_part, 1)} | {_cell(each.rate, 1)} | {_cell(each.p99_ms, 0)} |"
        for each in comparisons
    ]
    return "\n".join(lines)


def warnings(before: Run, after: Run) -> list[str]:
    """What the reader must know before the table is believed."""
    found = []
    if before.about["machine"] != after.about["machine"]:
        found.append("the machines differ: core-ms and rates don't compare, multiples do")
    engines = [[run.about["served"]["engine"].get(name) for name in _ENGINE] for run in (before, after)]
    if engines[0] != engines[1] or before.about["served"]["contract"] != after.about["served"]["contract"]:
        found.append("the networks or their precisions differ: multiples have different denominators")
    fewest = min(len(row.rate) for run in (before, after) for row in run.rows)
    if fewest < _FEWEST_ROUNDS:
        found.append(f"there are {fewest} rounds only, of which large differences alone show: measure five")
    return found


@command("compare")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 2 with one sentence on standard error."""
    parser = parser_of("deploy.benchmark.answer_cost.compare", __doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument(
        "--floor", type=float, default=FLOOR, help="a smaller relative difference is noise (default: 0.05)"
    )
    options = parser.parse_args(arguments)
    before, after = Run.read(options.before), Run.read(options.after)
    compared = compare(before, after, floor=options.floor)
    for warning in warnings(before, after):
        print(f"compare: {warning}", file=sys.stderr)
    print(table(compared))
    differing = [each.name for each in compared if each.core_ms.beyond_noise or each.multiple.beyond_noise]
    print(f"\n{len(differing)} of {len(compared)} rows cost more or less beyond noise (bold).")
    return 0


def _cell(value: Difference | None, digits: int) -> str:
    if value is None:
        return ""
    text = f"{value.before:.{digits}f} → {value.after:.{digits}f} ({value.change:+.0%})"
    return f"**{text}**" if value.beyond_noise else text


if __name__ == "__main__":
    sys.exit(main())
