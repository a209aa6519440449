"""A table of a paper as it comes out here, beside what is published: Markdown, and JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from training.evaluation.report import json_number, json_numbers
from training.evaluation.results import Estimate
from training.evaluation.tables import format_estimate, format_metric, markdown_table
from training.paper.caveats import Caveats, headline
from training.paper.experiment import MEAN, Claim, Experiment

Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # by method, the JSON rows of its evaluation


def ours(claim: Claim, rows: Rows, *, claims: Sequence[Claim]) -> Estimate | None:
    """What came out here for a claim; None where it was not measured."""
    if claim.metric == MEAN:
        parts = [
            ours(other, rows, claims=claims)
            for other in claims
            if other.method == claim.method and other.task
        ]
        known = [part.value for part in parts if part is not None and not math.isnan(part.value)]
        return Estimate(value=sum(known) / len(known)) if known and len(known) == len(parts) else None
    for row in rows.get(claim.method, ()):
        if (row["task"], row["set"], row["subset"]) == (claim.task, claim.set, claim.subset):
            numbers = row["values"].get(claim.metric)
            if numbers is not None and numbers[0] is not None:
                value, low, high = (math.nan if number is None else float(number) for number in numbers)
                return Estimate(value=value, low=low, high=high)
    return None


def as_markdown(experiment: Experiment, *, body: str, caveats: Caveats) -> str:
    """The whole report: title, protocol, what the figures are worth, the table or figure, the caveats."""
    parts = [f"# {experiment.paper.name}: {experiment.title}", experiment.protocol]
    if line := headline(caveats):
        parts.append(line)
    parts.append(body)
    if caveats.others:
        sentences = "\n".join(f"- {sentence}" for sentence in caveats.others)
        parts.append(f"What keeps ours and the paper's from being comparable:\n\n{sentences}")
    return "\n\n".join(parts) + "\n"


def as_table(experiment: Experiment, rows: Rows) -> str:
    """Published and ours side by side, a line a claim."""
    sources = list(dict.fromkeys(claim.source for claim in experiment.claims))
    lines = [
        _line(claim, rows, experiment=experiment, sourced=len(sources) > 1) for claim in experiment.claims
    ]
    columns = (
        "method",
        "task",
        "set",
        "metric",
        "published",
        "ours",
        "difference",
        "published in the interval",
    )
    return (
        f"{markdown_table(columns, lines)}\n\nPublished: {'; '.join(sources)}. In brackets the 95 % interval "
        "(bootstrap over persons where they are known, else over faces)."
    )


def as_json(experiment: Experiment, rows: Rows, *, caveats: Caveats) -> dict[str, Any]:
    """The same as plain data; undefined numbers are null."""
    found = []
    for claim in experiment.claims:
        estimate = ours(claim, rows, claims=experiment.claims)
        found.append(
            {
                "method": claim.method,
                "task": claim.task,
                "set": claim.set,
                "subset": claim.subset,
                "metric": claim.metric,
                "published": claim.value,
                "source": claim.source,
                "ours": None if estimate is None else json_numbers(estimate),
                "difference": None if estimate is None else json_number(estimate.value - claim.value),
            }
        )
    return {
        "experiment": experiment.name,
        "paper": experiment.paper.name,
        "means_nothing": list(caveats.nothing),
        "not_comparable": list(caveats.others),
        "claims": found,
    }


def _line(claim: Claim, rows: Rows, *, experiment: Experiment, sourced: bool) -> list[str]:
    found = ours(claim, rows, claims=experiment.claims)
    # The mean is of shares, as any task's of classes.
    task = claim.task or next(other.task for other in experiment.claims if other.task)
    metric = claim.metric if claim.task else next(o.metric for o in experiment.claims if o.task)
    published = format_metric(task, metric, claim.value)
    return [
        claim.name,
        claim.task or "-",
        f"{claim.set} ({claim.subset})" if claim.subset else claim.set or "-",
        claim.metric,
        f"{published} ({claim.source.rpartition(', ')[2]})" if sourced else published,
        format_estimate(task, metric, found),
        "-" if found is None else _difference(task, metric, found.value - claim.value),
        "-" if found is None or math.isnan(found.low) else _within(found, claim.value),
    ]


def _difference(task: str, metric: str, difference: float) -> str:
    """ "+1.20 points", "-0.30 years"."""
    number, _, unit = format_metric(task, metric, abs(difference)).partition(" ")
    signed = f"{'-' if difference < 0 else '+'}{number}"
    return f"{signed} points" if unit == "%" else f"{signed} {unit}"


def _within(found: Estimate, published: float) -> str:
    return "yes" if found.low <= published <= found.high else "no"
