"""What was predicted beside what was measured, and whether it lies within the bounds."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.measuring.percentiles import percentile

WITHIN = 0.2  # of the measured p50 and mean
Latencies = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One figure, in milliseconds.

    bounds      between which the prediction has to lie
    """

    figure: str
    predicted: float
    measured: float
    bounds: tuple[float, float]

    @property
    def kept(self) -> bool:
        low, high = self.bounds
        return low <= self.predicted <= high


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """One load of one kind of request: each run's latencies, and the predicted ones of the same arrivals.

    rate        requests a second
    refused     requests of all runs that got no answer, and the predicted number of them
    """

    kind: str
    load: float
    rate: float
    verdicts: Sequence[Verdict]
    refused: tuple[int, float]

    @property
    def kept(self) -> bool:
        return all(verdict.kept for verdict in self.verdicts)


def compare(runs: Sequence[Latencies], predicted: Latencies) -> list[Verdict]:
    """p50 and mean within a fifth of those of all runs together, p99 within the spread of the runs.

    Raises ValueError where a run has no answer.
    """
    if not runs or not all(len(run) for run in runs) or not len(predicted):
        raise ValueError("a run without an answer can't be compared: measure longer with --seconds")
    together = 1e3 * np.concatenate(list(runs))
    foretold = 1e3 * predicted
    tails = [1e3 * percentile(run, 0.99) for run in runs]
    within = [
        Verdict(
            figure=figure,
            predicted=value,
            measured=measured,
            bounds=((1 - WITHIN) * measured, (1 + WITHIN) * measured),
        )
        for figure, value, measured in (
            ("p50", percentile(foretold, 0.5), percentile(together, 0.5)),
            ("mean", float(foretold.mean()), float(together.mean())),
        )
    ]
    tail = Verdict(
        figure="p99",
        predicted=percentile(foretold, 0.99),
        measured=percentile(together, 0.99),
        bounds=(min(tails), max(tails)),
    )
    return [*within, tail]


def table(found: Sequence[Comparison]) -> str:
    """Markdown: a line for each figure."""
    lines = [
        "| request | load | requests/s | figure | predicted ms | measured ms | allowed ms | within |",
        "|---|---:|---:|---|---:|---:|---|---|",
    ]
    for each in found:
        for verdict in each.verdicts:
            low, high = verdict.bounds
            figures = (f"{verdict.predicted:.1f}", f"{verdict.measured:.1f}", f"{low:.1f} to {high:.1f}")
            cells = (each.kind, f"{each.load:.0%}", f"{each.rate:.1f}", verdict.figure, *figures)
            lines.append(f"| {' | '.join(cells)} | {'yes' if verdict.kept else 'no'} |")
    return "\n".join(lines)
