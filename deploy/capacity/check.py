"""The model beside what was measured: a kept run's own rates, where the CPU runs the network too."""

import dataclasses
import statistics
from collections.abc import Sequence

from deploy.benchmark.answer_cost.results import Row, Run
from deploy.benchmark.answer_cost.rows import CROP, DIRECT, FACE, GATEWAY, MANY, PHOTO, ServedRow
from deploy.capacity.requests import crowd_cost, crowd_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """A figure of a row as the model has it, and as it was measured."""

    row: str
    figure: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """0.1: predicted is 10 % too much."""
        return self.predicted / self.measured - 1


def predictions(run: Run, *, busy: float) -> list[Prediction]:
    """Answers a second of each row with many clients, and core-ms of the photo between the measured ones.

    On a CPU the engine and the clients take their part of the same cores: 1000 N u / core-ms. The photo of
    several faces that is not the last one is left out and interpolated from its neighbours.
    Raises ValueError where the run has none of these rows.
    """
    rows = {row.name: row for row in run.rows}
    cores = int(run.about["machine"]["cores"])
    found = [
        _rate(rows[name], cores=cores, busy=busy)
        for request in (CROP, FACE, PHOTO)
        for way in (GATEWAY, DIRECT)
        if (name := ServedRow(request=request, clients=MANY, way=way).name) in rows
    ]
    for faces, name in list(crowd_rows().items())[1:-1]:
        if name in rows:
            cost = crowd_cost(run, faces, left_out=faces)
            whole = sum(cost.steps.values()) + cost.engine + cost.client
            measured = statistics.median(rows[name].core_ms)
            found.append(Prediction(row=name, figure="core-ms", predicted=whole, measured=measured))
    if not found:
        raise ValueError(f"the run has no row of {MANY} clients to be compared with")
    return found


def _rate(row: Row, *, cores: int, busy: float) -> Prediction:
    predicted = 1e3 * cores * busy / statistics.median(row.core_ms)
    return Prediction(
        row=row.name, figure="answers/s", predicted=predicted, measured=statistics.median(row.rate)
    )


def table(found: Sequence[Prediction]) -> str:
    """Markdown."""
    return "\n".join(
        [
            "| row | figure | predicted | measured | error |",
            "|---|---|---:|---:|---:|",
            *(
                f"| {each.row} | {each.figure} | {each.predicted:.1f} | {each.measured:.1f} "
                f"| {each.error:+.0%} |"
                for each in found
            ),
        ]
    )
