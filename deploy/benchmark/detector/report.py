"""A run of the benchmark as JSON and as Markdown, and two runs beside each other."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.benchmark.detector.intervals import Interval
from deploy.benchmark.detector.measuring import WORSE_WHEN_LARGER, Cost, Row


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what it was made with, and what it came to."""

    made_with: Mapping[str, Any]
    rows: tuple[Row, ...]
    costs: tuple[Cost, ...]


def write_run(run: Run, file: Path) -> None:
    """As JSON, a line a row."""
    rows = [json.dumps(_rounded(dataclasses.asdict(row))) for row in run.rows]
    costs = [json.dumps(_rounded(dataclasses.asdict(cost))) for cost in run.costs]
    parts = [
        f'"made_with": {json.dumps(dict(run.made_with))}',
        '"rows": [\n' + ",\n".join(rows) + "\n]",
        '"costs": [\n' + ",\n".join(costs) + "\n]",
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def read_run(file: Path) -> Run:
    """A run that `write_run` wrote. Raises ValueError for another file."""
    try:
        content = json.loads(file.read_text())
        return Run(
            made_with=content["made_with"],
            rows=tuple(
                Row(
                    **row
                    | {
                        "share": Interval(**row["share"]),
                        "means": {name: Interval(**mean) for name, mean in row["means"].items()},
                    }
                )
                for row in content["rows"]
            ),
            costs=tuple(Cost(**cost | {"core_ms": Interval(**cost["core_ms"])}) for cost in content["costs"]),
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is not a run of this benchmark ({error}): name one that it wrote") from None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value


HEADER = (
    "| photos | faces | number | found, % | box overlap | eyes | nose tip | mouth centre | wrong a photo | "
    "canvases | core-ms |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)
COST_HEADER = "| photo | number | core-ms | canvases |\n|---|---:|---:|---:|"


def table(run: Run) -> Iterator[str]:
    """The lines of a run's tables."""
    yield HEADER
    for row in run.rows:
        figures = [_percent(row.means.get("box overlap"), bare=True)]
        figures += [_percent(row.means.get(name), bare=True) for name in WORSE_WHEN_LARGER]
        yield (
            f"| {row.group} | {row.name} | {len(row.hits)} | {_percent(row.share)} | {' | '.join(figures)} | "
            f"{row.wrong:.3f} | {row.canvases:.1f} | {row.core_ms:.1f} |"
        )
    yield ""
    yield COST_HEADER
    for cost in run.costs:
        yield (f"| {cost.name} | {cost.photos} | {_plain(cost.core_ms)} | {cost.canvases:.1f} |")


BESIDE_HEADER = (
    "| photos | faces | number | before, % | after, % | lost | gained | canvases | core-ms | |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---|"
)
BESIDE_COST_HEADER = "| photo | core-ms before | after | canvases |\n|---|---:|---:|---:|"


def beside(before: Run, after: Run) -> Iterator[str]:
    """The lines of a table of two runs; rows that became worse by more than their interval are marked.

    Lost and gained: faces (photos) of the same pictures that one run found and the other did not.
    """
    old = {(row.group, row.name): row for row in before.rows}
    yield BESIDE_HEADER
    for row in after.rows:
        earlier = old.get((row.group, row.name))
        if earlier is None:
            continue
        lost = gained = "?"
        if len(earlier.hits) == len(row.hits):
            pairs = list(zip(earlier.hits, row.hits, strict=True))
            lost, gained = str(pairs.count(("1", "0"))), str(pairs.count(("0", "1")))
        yield (
            f"| {row.group} | {row.name} | {len(row.hits)} | {_percent(earlier.share)} | "
            f"{_percent(row.share)} | {lost} | {gained} | {earlier.canvases:.1f} to {row.canvases:.1f} | "
            f"{earlier.core_ms:.1f} to {row.core_ms:.1f} | {'; '.join(worse(earlier, row))} |"
        )
    yield ""
    yield BESIDE_COST_HEADER
    costs = {cost.name: cost for cost in before.costs}
    for cost in after.costs:
        if cost.name in costs:
            was = costs[cost.name]
            yield (
                f"| {cost.name} | {_plain(was.core_ms)} | {_plain(cost.core_ms)} | "
                f"{was.canvases:.1f} to {cost.canvases:.1f} |"
            )


def worse(before: Row, after: Row) -> list[str]:
    """What of a row lies beyond the earlier run's interval, on the worse side."""
    found = []
    if before.finds_are_false:
        if after.share.value > before.share.high:
            found.append("MORE FALSE FINDS")
    elif after.share.value < before.share.low:
        found.append("FEWER FOUND")
    for name, mean in after.means.items():
        was = before.means.get(name)
        if was is None:
            continue
        if name in WORSE_WHEN_LARGER and mean.value > was.high:
            found.append(f"{name} {was.value:.1%} to {mean.value:.1%}")
        if name not in WORSE_WHEN_LARGER and mean.value < was.low:
            found.append(f"{name} {was.value:.1%} to {mean.value:.1%}")
    return found


def _percent(interval: Interval | None, *, bare: bool = False) -> str:
    if interval is None:
        return ""
    if bare:
        return f"{100 * interval.value:.1f}"
    return f"{100 * interval.value:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _plain(interval: Interval) -> str:
    return f"{interval.value:.1f} ({interval.low:.1f} to {interval.high:.1f})"
