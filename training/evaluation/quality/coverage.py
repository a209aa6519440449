"""Risk and coverage: the error of each task on the faces that are left when the worst are not answered."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.evaluation.metric_accumulator import MetricAccumulator
from training.evaluation.predictors import BATCH, Predictor
from training.evaluation.protocols import main_metric
from training.evaluation.scores import area
from training.kinds import kind_of

COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8, 0.6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """A task's main metric on the best parts of a set."""

    task: str
    set: str
    metric: str
    faces: int
    values: tuple[float, ...]  # at each of COVERAGES


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredSet:
    """The qualities of a set's faces, and how its tasks are answered by them."""

    name: str
    qualities: NDArray[np.float64]  # [N]
    curves: tuple[RiskCoverage, ...]


def measure_set(
    faces: FaceSet, network: Predictor, *, quality: str, limit: int | None, curves: bool
) -> MeasuredSet:
    """The qualities (the first label of the task `quality`) of `limit` faces, evenly spread, of a set."""
    rows = np.arange(len(faces))
    if limit is not None and limit < len(faces):
        rows = np.arange(limit) * len(faces) // limit
    found = [evaluated_task(entry, input_size=network.input_size) for entry in network.tasks]
    tasks = {one.task.name: one for one in found if one is not None}
    derive(faces, list(tasks))
    accumulators = {
        name: MetricAccumulator(one)
        for name, one in tasks.items()
        if curves and name != quality and kind_of(one.task).labelled(one.task, faces)
    }
    parts = []
    for start in range(0, len(rows), BATCH):
        indices = rows[start : start + BATCH]
        answers = network.predict(faces.served_crops(indices, size=network.input_size))
        parts.append(np.asarray(answers[quality][:, 0], np.float64))
        for accumulator in accumulators.values():
            accumulator.add(answers, faces, indices)
    qualities = np.concatenate(parts)
    of_face = np.full(len(faces), np.nan)
    of_face[rows] = qualities
    return MeasuredSet(
        name=faces.name,
        qualities=qualities,
        curves=tuple(
            curve
            for name, accumulator in accumulators.items()
            if (curve := _curve(tasks[name], accumulator, faces, of_face)) is not None
        ),
    )


def _curve(
    evaluated: EvaluatedTask, accumulator: MetricAccumulator, faces: FaceSet, qualities: NDArray[np.float64]
) -> RiskCoverage | None:
    statistics = accumulator.statistics()
    if not statistics:
        return None
    whole = statistics[0]
    best_first = whole.indices[np.argsort(-qualities[whole.indices], kind="stable")]
    metric = main_metric(evaluated.task.name, faces.name)
    values = whole.plain()
    metric = metric if metric in values else next(iter(values))
    kept = [best_first[: max(1, round(share * len(best_first)))] for share in COVERAGES]
    return RiskCoverage(
        task=evaluated.task.name,
        set=faces.name,
        metric=metric,
        faces=len(best_first),
        values=tuple(whole.only(indices).plain().get(metric, float("nan")) for indices in kept),
    )


def area_of(qualities: NDArray[np.float64], usable: NDArray[np.bool_]) -> float:
    """The area under the ROC curve of qualities [N] for what is usable [N]."""
    return float(area(np.ones((1, len(qualities))), qualities, usable)[0])
