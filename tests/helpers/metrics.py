"""Metrics of answers and labels given as arrays."""

import numpy as np
from numpy.typing import NDArray

from training.contract import make_contract
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.kinds import kinds
from training.tasks import CATALOGUE

SIZE = 64
NAN = float("nan")


def question(name: str, *, labels: list[str] | None = None) -> EvaluatedTask:
    contract = make_contract(
        [CATALOGUE[name]], input_size=SIZE, trained=None if labels is None else {name: labels}
    )
    asked = evaluated_task(contract.tasks[0], input_size=SIZE)
    assert asked is not None
    return asked


def metrics(
    asked: EvaluatedTask,
    answers: NDArray[np.generic],
    labels: NDArray[np.generic],
    *,
    weights: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    measure = kinds()[asked.task.kind]
    faces = measure.per_face(asked, answers, labels)
    once = np.ones((1, len(labels))) if weights is None else weights
    return {name: float(values[0]) for name, values in measure.values(asked, faces, once).items()}


def random() -> np.random.Generator:
    return np.random.default_rng(3)
