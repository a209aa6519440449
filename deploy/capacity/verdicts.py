"""What was predicted beside what was measured, and whether it lies within the bounds."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qface_client.measuring.percentiles import middle, percentile

WITHIN = 0.2  # of the measured p50 and mean
Latencies = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One figure, in milliseconds.

    bounds      between which the prediction has to lie
    of_a_run    what it is in nine of ten single simulated runs: by so much runs differ by chance alone
    """

    figure: str
    predicted: float
    measured: float
    bounds: tuple[float, float]
    of_a_run: tuple[float, float]

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


def compare(runs: Sequence[Latencies], predicted: Sequence[Latencies]) -> list[Verdict]:
    """p50 and mean within a fifth of those of all runs together, p99 within the spread of the runs.

    The spread of three runs holds even the true p99 in three of four cases only.

    predicted: of as many simulated runs as there are. Raises ValueError where a run has no answer.
    """
    if not runs or not predicted or not all(len(run) for run in (*runs, *predicted)):
        raise ValueError("a run without an answer can't be compared: measure longer with --seconds")
    tails = [_FIGURES["p99"](run) for run in runs]
    measured, foretold = np.concatenate(list(runs)), np.concatenate(list(predicted))
    verdicts = []
    for name, figure in _FIGURES.items():
        value = figure(measured)
        around = ((1 - WITHIN) * value, (1 + WITHIN) * value)
        verdicts.append(
            Verdict(
                figure=name,
                predicted=figure(foretold),
                measured=value,
                bounds=(min(tails), max(tails)) if name == "p99" else around,
                of_a_run=middle([figure(run) for run in predicted], 0.9),
            )
        )
    return verdicts


# In milliseconds, of seconds.
_FIGURES: Mapping[str, Callable[[Latencies], float]] = {
    "p50": lambda run: 1e3 * percentile(run, 0.5),
    "mean": lambda run: 1e3 * float(run.mean()),
    "p99": lambda run: 1e3 * percentile(run, 0.99),
}


def table(found: Sequence[Comparison]) -> str:
    """Markdown: a line for each figure."""
    heads = (
        "request",
        "load",
        "requests/s",
        "figure",
        "predicted ms",
        "of a run",
        "measured ms",
        "allowed ms",
    )
    lines = [f"| {' | '.join(heads)} | within |", "|---|---:|---:|---|---:|---|---:|---|---|"]
    for each in found:
        for verdict in each.verdicts:
            predicted, of_a_run = f"{verdict.predicted:.1f}", _span(verdict.of_a_run)
            figures = (predicted, of_a_run, f"{verdict.measured:.1f}", _span(verdict.bounds))
            cells = (each.kind, f"{each.load:.0%}", f"{each.rate:.1f}", verdict.figure, *figures)
            lines.append(f"| {' | '.join(cells)} | {'yes' if verdict.kept else 'no'} |")
    return "\n".join(lines)


def _span(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1f} to {ends[1]:.1f}"
