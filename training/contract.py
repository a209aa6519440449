"""What a network promises to answer, made of the tasks that it learned."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from runtime.contract import (
    ALIGNED,
    CONTRACT_VERSION,
    Contract,
    ErrorBounds,
    QualityEntry,
    TaskEntry,
    VisiblePoints,
)
from runtime.image.crops import CROPS
from training.kinds import kind_of
from training.kinds.forms import ErrorForm
from training.task_type import Task

Within = tuple[tuple[float, float], ...]  # ErrorBounds.within
SHARES = (0.5, 0.8, 0.95)  # of true values, for which a contract states how far they lie
# How far the true values lie that are distributed by Laplace: -log(1 - share) expected errors.
LAPLACE: Within = tuple((share, round(-math.log(1 - share), 4)) for share in SHARES)


def make_contract(
    tasks: Sequence[Task],
    *,
    input_size: int,
    trained: Mapping[str, Sequence[str]] | None = None,
    crop: str = ALIGNED,
    errors: Mapping[str, Within] | None = None,
    quality: QualityEntry | None = None,
) -> Contract:
    """The contract of a network that answers `tasks` about crops of `input_size` pixels.

    `trained` gives, for each task, the labels that the weights have learned (None: all). Other labels are
    left out, and a task without any is left out too. `crop` is a name in `runtime.image.crops.CROPS`.
    `errors` are as for `with_errors`; `quality` is which answer states whether a crop can be analysed at all.
    Raises ValueError for an unknown crop, for a task that learned some of its labels and whose kind needs all
    of them, and as `with_errors` does.
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
    contract = Contract(
        version=CONTRACT_VERSION,
        input_size=input_size,
        tasks=tuple(entries),
        crop=crop,
        quality=quality,
    )
    return with_errors(contract, errors or {}, tasks=tasks)


def with_errors(contract: Contract, errors: Mapping[str, Within], *, tasks: Sequence[Task]) -> Contract:
    """The contract, with the expected errors of the tasks that `errors` names and of no others.

    `errors` gives (p, f) by task: of the true values the share p lies within f expected errors. `tasks` are
    the network's. ValueError for a task that the contract does not have, or whose kind has no expected error.
    """
    if missing := sorted(errors.keys() - set(contract.names)):
        raise ValueError(f"errors names {', '.join(missing)}, which the contract does not have")
    known = {task.name: task for task in tasks}
    bounds = {
        name: ErrorBounds(unit=_form(known[name], contract).unit, within=tuple(within))
        for name, within in errors.items()
    }
    entries = (dataclasses.replace(entry, error=bounds.get(entry.name)) for entry in contract.tasks)
    return dataclasses.replace(contract, tasks=tuple(entries))


def _form(task: Task, contract: Contract) -> ErrorForm:
    form = kind_of(task).error_form(task, input_size=contract.input_size)
    if form is None:
        raise ValueError(
            f"task {task.name!r} can't state how far it may be off: its kind {task.kind} does not"
        )
    return form
