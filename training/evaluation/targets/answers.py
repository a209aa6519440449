"""A network's answers about the faces of prepared sets, from which targets are computed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluate import chunks
from training.evaluation.evaluated_task import EvaluatedTask, checked_predictions, evaluated_task
from training.evaluation.metric_accumulator import FaceStatistics, MetricAccumulator
from training.evaluation.predictors import Predictions, PredictionSource, Predictor, crop_source
from training.evaluation.targets.target import Target
from training.kinds import kind_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetAnswers:
    """What a network answers about those faces of a set that it was asked about and that were found."""

    faces: FaceSet
    tasks: Mapping[str, EvaluatedTask]
    indices: NDArray[np.int64]  # [N], of the faces
    predictions: Predictions  # [N, ...]
    not_found: NDArray[np.int64]
    sent: str  # a "crop", or the whole "photo"

    def statistics(self, target: Target) -> FaceStatistics | None:
        """The numbers of those faces that a target is about; None without any."""
        evaluated = self.tasks[target.task]
        chosen = np.isin(self.indices, target.chosen(self.faces))
        indices = self.indices[chosen]
        names = [name for name in (target.task, evaluated.error_name) if name in self.predictions]
        predictions = {name: self.predictions[name][chosen] for name in names}
        if not target.figure.needs_labels:
            if not len(indices):
                return None
            answers = checked_predictions(evaluated, predictions, faces=self.faces, indices=indices)
            answered = kind_of(evaluated.task).answered(evaluated, answers)
            return FaceStatistics(evaluated=evaluated, indices=indices, stats={"answered": answered})
        kind = kind_of(evaluated.task)
        if not len(indices) or not kind.labelled(evaluated.task, self.faces):
            return None
        accumulator = MetricAccumulator(evaluated)
        accumulator.add(predictions, self.faces, indices)
        return next(iter(accumulator.statistics()), None)


def evaluated_tasks(predictor: Predictor) -> dict[str, EvaluatedTask]:
    """The tasks that a network answers, by name; that of a face's quality with the minimum as threshold."""
    found = [evaluated_task(entry, input_size=predictor.input_size) for entry in predictor.tasks]
    tasks = {evaluated.task.name: evaluated for evaluated in found if evaluated is not None}
    quality = predictor.quality
    if quality is not None and quality.task in tasks:
        tasks[quality.task] = dataclasses.replace(tasks[quality.task], threshold=quality.minimum)
    return tasks


def answers_of(
    predictor: Predictor,
    faces: FaceSet,
    targets: Sequence[Target],
    *,
    source: PredictionSource | None = None,
    limit: int | None = None,
) -> SetAnswers | None:
    """The answers that these targets need about a set; None where the network answers none of them.

    Only faces that some target is about are asked about. `source`: what predictions are made of (None: the
    prepared crops). `limit` takes so many of the faces, evenly spread.
    """
    tasks = evaluated_tasks(predictor)
    wanted = [target for target in targets if target.task in tasks]
    derive(faces, [target.task for target in wanted])
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *(t.chosen(faces) for t in wanted)]))
    if not len(rows):
        return None
    asked = [tasks[name] for name in dict.fromkeys(target.task for target in wanted)]
    source = source or crop_source(predictor.predict, size=predictor.input_size)
    found: list[NDArray[np.int64]] = []
    lost: list[NDArray[np.int64]] = []
    parts: list[Predictions] = []
    for places in chunks(len(rows), limit=limit):
        indices = rows[places]
        batch = source.predict(faces, indices, asked)
        found.append(indices[batch.found])
        lost.append(indices[~batch.found])
        if batch.found.any():
            parts.append(batch.predictions)
    kept = [name for one in asked for name in (one.task.name, one.error_name)]
    return SetAnswers(
        faces=faces,
        tasks=tasks,
        indices=np.concatenate(found),
        predictions={
            name: _joined([part[name] for part in parts]) for name in kept if parts and name in parts[0]
        },
        not_found=np.concatenate(lost),
        sent=source.sent,
    )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts)
