"""Which labels a run can learn: those that its training faces have."""

from collections.abc import Sequence

import numpy as np

from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.task_type import Task

_SHOWN = 5  # labels in a message


def learned_labels(tasks: Sequence[Task], sets: Sequence[FaceSet]) -> dict[str, list[str]]:
    """The labels of each task that at least one training face has; ValueError for a task without.

    Of several independent labels some may be missing, and are then not served. A class that nobody
    belongs to can't be learned, and neither can a point that nobody has marked.
    """
    learned: dict[str, list[str]] = {}
    names = ", ".join(faces.name for faces in sets)
    for task in tasks:
        found = np.zeros(len(task.labels), bool)
        for faces in sets:
            found |= kind_of(task).learned(task, faces)
        missing = [label for label, has_samples in zip(task.labels, found, strict=True) if not has_samples]
        if len(missing) == len(task.labels):
            raise ValueError(
                f"no face of {names} is labelled for task {task.name!r}: add a set that is, "
                f"or leave the task out with --set model.tasks=..."
            )
        if missing and not kind_of(task).partial_labels:
            raise ValueError(
                f"task {task.name!r}: no face of {names} has {', '.join(missing[:_SHOWN])}"
                f"{' and others' if len(missing) > _SHOWN else ''}, which can't be learned without samples: "
                "add a set that has it, or leave the task out with --set model.tasks=..."
            )
        learned[task.name] = [label for label in task.labels if label not in missing]
    return learned
