"""The targets' table: old and new figures, bounds, and what is reached."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.report import json_numbers
from training.evaluation.results import Estimate
from training.evaluation.tables import markdown_table
from training.evaluation.targets.measure import TargetFigure
from training.evaluation.targets.target import Bounds, Target

FORMAT = 1
REACHED, GOAL, MISSED, UNDECIDED = "reached", "goal reached", "not reached", "-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetResult:
    """A target with the figures of both networks, or why there is none."""

    name: str
    unit: str  # "": a share
    figure: TargetFigure | str
    old: Estimate | None
    least: Bounds | None  # None: not worse than the old one, where that is wanted
    goal: Bounds | None
    no_worse: bool  # where there is no `least`: than the old one's figure
    direction: int  # 1: more is better, -1: less, 0: neither

    @property
    def verdict(self) -> str:
        """One of the four."""
        if isinstance(self.figure, str):
            return UNDECIDED
        value = self.figure.estimate.value
        if self.goal is not None and self.goal.hold(value):
            return GOAL
        if self.least is not None:
            return REACHED if self.least.hold(value) else MISSED
        if self.no_worse and self.old is not None and self.direction:
            # Not worse: the old figure lies within the new one's interval, or on its worse side.
            end = self.figure.estimate.high if self.direction > 0 else self.figure.estimate.low
            end = value if math.isnan(end) else end
            return REACHED if (end - self.old.value) * self.direction >= 0 else MISSED
        return UNDECIDED


def results_of(
    targets: Sequence[Target],
    figures: Mapping[str, TargetFigure | str],
    old: Mapping[str, Estimate],
    *,
    minima: str,
) -> list[TargetResult]:
    """The rows in order; `minima` is a name in MINIMA."""
    open_ones = MINIMA[minima]
    return [
        TargetResult(
            name=target.name,
            unit=target.figure.unit(target.task),
            figure=figures[target.name],
            old=old.get(target.name),
            least=target.open_least if open_ones else target.least,
            goal=None if open_ones else target.goal,
            no_worse=open_ones,
            direction=_direction(target),
        )
        for target in targets
    ]


# Names of --minima: whether they are those of networks that learn from open sources alone.
MINIMA = {"full": False, "open": True}


def _direction(target: Target) -> int:
    bounds = target.least or target.goal or Bounds()
    if math.isinf(bounds.high) and not math.isinf(bounds.low):
        return 1
    return -1 if math.isinf(bounds.low) and not math.isinf(bounds.high) else 0


def as_markdown(results: Sequence[TargetResult], *, new: str, old: str | None) -> str:
    """The table, and a line of how many are reached."""
    lines = [
        [
            result.name,
            _faces(result.figure),
            *([_estimate(result.old, result.unit)] if old else []),
            result.figure
            if isinstance(result.figure, str)
            else _estimate(result.figure.estimate, result.unit),
            _wanted(result),
            _bounds(result.goal, result.unit) or "-",
            result.verdict,
        ]
        for result in results
    ]
    heading = ("target", "faces", *([f"old: {old}"] if old else []), f"new: {new}", "at least", "goal", "")
    decided = [result for result in results if result.verdict != UNDECIDED]
    reached = sum(result.verdict != MISSED for result in decided)
    goals = sum(result.verdict == GOAL for result in decided)
    legend = (
        f"{reached} of {len(decided)} are reached, of {goals} the goal. In brackets the 95 % interval "
        "(bootstrap over persons where they are known, else over faces). Faces: photos were sent where it "
        "says so, else crops; those that the detector did not find are in no figure."
    )
    return f"{markdown_table(heading, lines)}\n\n{legend}\n"


def as_json(
    results: Sequence[TargetResult],
    *,
    new: Mapping[str, Any],
    old: str | None,
    options: Mapping[str, Any],
) -> str:
    """The table as data, which `figures_in` reads again."""
    rows = []
    for result in results:
        measured = None if isinstance(result.figure, str) else result.figure
        rows.append(
            {
                "name": result.name,
                "unit": result.unit,
                "value": None if measured is None else json_numbers(measured.estimate),
                "why_not": result.figure if isinstance(result.figure, str) else None,
                "faces": 0 if measured is None else measured.faces,
                "not_found": 0 if measured is None else measured.not_found,
                "sent": [] if measured is None else list(measured.sent),
                "sets": [] if measured is None else list(measured.sets),
                "old": None if result.old is None else json_numbers(result.old),
                "least": _ends(result.least),
                "goal": _ends(result.goal),
                "verdict": result.verdict,
            }
        )
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    content = {"format": FORMAT, "network": dict(new), "old": old, "options": plain, "rows": rows}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def figures_in(path: Path) -> tuple[str, dict[str, Estimate]]:
    """The network's name, and its figures by target, of a file of `as_json`; ValueError for others."""
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        figures = {}
        for row in content["rows"]:
            if row["value"] is not None:
                value, low, high = (math.nan if number is None else float(number) for number in row["value"])
                figures[str(row["name"])] = Estimate(value=value, low=low, high=high)
        return str(content["network"]["name"]), figures
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} has no targets' figures ({error}): name a file that --json wrote") from None


def _faces(figure: TargetFigure | str) -> str:
    if isinstance(figure, str):
        return "-"
    photo = "photo" in figure.sent
    lost = f", {figure.not_found:,} not found" if figure.not_found else ""
    return f"{figure.faces:,} of {', '.join(figure.sets)}{' (photos)' if photo else ''}{lost}"


def _number(value: float, unit: str) -> str:
    """Without its unit."""
    if unit == "":
        return f"{100 * value + 0.0:.1f}"
    return f"{value:.0f}" if unit.startswith("of ") else f"{value:.2f}"


def _estimate(found: Estimate | None, unit: str) -> str:
    if found is None:
        return "-"
    number = _number(found.value, unit)
    ends = "" if math.isnan(found.low) else f" [{_number(found.low, unit)}, {_number(found.high, unit)}]"
    return f"{number}{ends} {unit or '%'}"


def _wanted(result: TargetResult) -> str:
    no_worse = "no worse" if result.no_worse and result.direction else "-"
    return _bounds(result.least, result.unit) or no_worse


def _bounds(bounds: Bounds | None, unit: str) -> str:
    if bounds is None:
        return ""
    low, high = (_number(end, unit) for end in (bounds.low, bounds.high))
    if math.isinf(bounds.high):
        text = low
    elif math.isinf(bounds.low):
        text = f"at most {high}"
    else:
        text = f"{low} to {high}"
    return f"{text} {unit or '%'}"


def _ends(bounds: Bounds | None) -> list[float | None] | None:
    if bounds is None:
        return None
    return [None if math.isinf(end) else end for end in (bounds.low, bounds.high)]
