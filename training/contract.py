"""What a network promises to answer, made of the tasks that it learned."""

from collections.abc import Mapping, Sequence

from runtime.contract import ALIGNED, CONTRACT_VERSION, Contract, TaskEntry, VisiblePoints
from runtime.image.crops import CROPS
from training.kinds import kind_of
from training.task_type import Task


def make_contract(
    tasks: Sequence[Task],
    *,
    input_size: int,
    trained: Mapping[str, Sequence[str]] | None = None,
    crop: str = ALIGNED,
) -> Contract:
    """The contract of a network that answers `tasks` about crops of `input_size` pixels.

    `trained` gives, for each task, the labels that the weights have learned (None: all). Other labels are
    left out, and a task without any is left out too. `crop` is a name in `runtime.image.crops.CROPS`. Raises
    ValueError for an unknown crop, and for a task that learned some of its labels and whose kind needs all
    of them.
    """
    if crop not in CROPS:
        raise ValueError(f"unknown crop {crop!r}: choose from {', '.join(CROPS)}")
    entries = []
    for task in tasks:
        kind = kind_of(task)
        kept = [label for label in task.labels if trained is None or label in trained.get(task.name, ())]
        if not kept:
            continue
        if len(kept) != len(task.labels) and not kind.partial_labels:
            raise ValueError(
                f"task {task.name!r} was trained on some of its labels only, which its kind can't serve"
            )
        points = None
        if task.aligned_labels is not None:
            indices = tuple(task.aligned_labels[label] for label in kept)
            points = VisiblePoints(task=task.aligned_to, indices=indices)
        entries.append(
            TaskEntry(
                name=task.name,
                kind=task.kind,
                labels=tuple(kept),
                unit=task.unit,
                threshold=kind.threshold,
                visible_points=points,
                served_by_default=not task.sensitive,
            )
        )
    return Contract(version=CONTRACT_VERSION, input_size=input_size, tasks=tuple(entries), crop=crop)
