"""A checkpoint with error heads, fitted to faces that its training held out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.contract import Within, with_errors
from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.data.sampling.augmentation import Augmentation
from training.kinds import kind_of
from training.models import Checkpoint, QFace, build_qface
from training.models.checkpoint import round_to_half
from training.models.qface.error_heads import ErrorHead
from training.task_type import Task
from training.train.calibrate import most_trusted
from training.train.errors.coverage import Coverage, coverage, measured_within
from training.train.errors.fit import fit_head
from training.train.errors.observations import CHECK, FIT, MEASURE, Observations, harder, observe
from training.train.recipes import RECIPES

_FEWEST = 20  # faces to measure on: a 95 % range wants that many
_FEWEST_TO_FIT = 10
# Whose labels decide how far an answer may be off: a teacher's share its errors, a render's are exact.
_ORIGINS = ("human", "render", "teacher")


def with_error_heads(
    checkpoint: Checkpoint,
    sets: Sequence[FaceSet],
    *,
    tasks: Sequence[str] | None = None,
    draws: int,
    limit: int,
    seed: int,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[Checkpoint, list[Coverage]]:
    """A checkpoint that states the errors of `tasks` (None: of all that can), and what was measured of them.

    Nothing else of the network changes. Heads that it has of these tasks are fitted anew, others are kept.
    The card gets the measurement. ValueError for a network without queries, for tasks that it does not
    answer or whose kind has no error, and for those that too few faces of `sets` are labelled for.
    """
    model = checkpoint.model
    if not isinstance(model, QFace):
        raise ValueError(
            f"a {type(model).__name__} has no queries, off which its errors could be read: give a Q-Face "
            "checkpoint"
        )
    chosen = _chosen(checkpoint, tasks)
    names = [task.name for task in chosen]
    for faces in sets:
        derive(faces, names)
    recipe = RECIPES.get(str(checkpoint.card.get("run")))
    run = None if recipe is None else recipe()
    observed = observe(
        model,
        chosen,
        sets,
        augmentation=harder(Augmentation() if run is None else run.augmentation),
        surrounded=[] if run is None else [source.name for source in run.sources if source.surround],
        draws=draws,
        limit=limit,
        seed=seed,
        log=log,
    )
    _check_labelled(names, observed, sets)
    network = _with_fresh_heads(model, names, seed=seed)
    assert network.error_heads is not None
    heads = {name: network.error_heads.head(name) for name in names}
    for name in names:
        reached = fit_head(heads[name], observed[name], seed=seed)
        log(f"{name}: unlikelihood {reached:.3f} on faces that it was not fitted to")
    if checkpoint.weights == "fp16":
        round_to_half(network)
    within, rows = dict(_old_within(checkpoint)), list[Coverage]()
    card = dict(checkpoint.card.get("errors", {}))
    for name in names:
        task = next(task for task in chosen if task.name == name)
        within[name], measured = _measured(task, heads[name], observed[name], sets)
        card[name] = {"within": within[name], "measured": {row.faces: row.to_json() for row in measured}}
        rows += measured
    return dataclasses.replace(
        checkpoint,
        model=network,
        contract=with_errors(checkpoint.contract, within, tasks=network.tasks),
        card={**checkpoint.card, "errors": card},
    ), rows


def _chosen(checkpoint: Checkpoint, names: Sequence[str] | None) -> list[Task]:
    size, served = checkpoint.model.config.input_size, checkpoint.contract.names
    able = {
        task.name: task
        for task in checkpoint.model.tasks
        if task.name in served and kind_of(task).error_form(task, input_size=size) is not None
    }
    if unknown := [name for name in names or () if name not in able]:
        raise ValueError(
            f"{', '.join(unknown)} can't get an expected error: choose from {', '.join(able) or 'none'}"
        )
    if not able:
        raise ValueError("the checkpoint answers nothing in a unit, of which an error could be stated")
    return [task for name, task in able.items() if names is None or name in names]


def _check_labelled(
    names: Sequence[str], observed: Mapping[str, Observations], sets: Sequence[FaceSet]
) -> None:
    for name in names:
        parts = observed[name].parts[observed[name].as_served] if name in observed else np.zeros(0, np.int64)
        counts = [int((parts == part).sum()) for part in (FIT, CHECK, MEASURE)]
        if counts[2] < _FEWEST or min(counts) < 1 or counts[0] < _FEWEST_TO_FIT:
            raise ValueError(
                f"{sum(counts)} held-out faces of {', '.join(faces.name for faces in sets)} are labelled for "
                f"{name!r}, which is too few to learn how far it is off: name sets that are with --sets, or "
                "leave the task out with --tasks"
            )


def _with_fresh_heads(model: QFace, names: Sequence[str], *, seed: int) -> QFace:
    """A copy of the network with new heads of these tasks, which learn, and those that it has of others."""
    config = model.config
    errors = tuple(task.name for task in model.tasks if task.name in {*names, *config.errors})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_qface(dataclasses.replace(config, errors=errors))
    network.adopt_tasks(model.tasks)
    fresh = tuple(f"error_heads.by_task.{name}." for name in names)
    kept = {key: value for key, value in model.state_dict().items() if not key.startswith(fresh)}
    network.load_state_dict({**network.state_dict(), **kept})
    network.eval()
    return network


def _measured(
    task: Task, head: ErrorHead, observed: Observations, sets: Sequence[FaceSet]
) -> tuple[Within, list[Coverage]]:
    """How errors are to be read, by crops as they are served; and what they are worth, set by set.

    Read by the labels of the first of _ORIGINS that has some, where enough of those faces have them; else by
    all.
    """
    rest = observed.where(observed.parts == MEASURE)
    served = rest.where(rest.as_served)
    trusted_sets = most_trusted(task, sets, origins=_ORIGINS)
    trusted = [number for number, faces in enumerate(sets) if faces in trusted_sets]
    read_by = served.where(np.isin(served.sets, trusted))
    if len(read_by.parts) < _FEWEST:
        read_by = served
    within = measured_within(read_by, _expected(head, read_by))
    rows = []
    for number, faces in enumerate(sets):
        for as_served, name in ((True, faces.name), (False, f"{faces.name}, degraded")):
            part = rest.where((rest.sets == number) & (rest.as_served == as_served))
            if len(part.parts):
                expected = _expected(head, part)
                rows.append(coverage(part, expected, within=within, task=task.name, faces=name))
    return within, rows


def _expected(head: ErrorHead, observed: Observations) -> NDArray[np.float64]:
    with torch.inference_mode():
        parts = [head(features.float()) for features in torch.split(observed.features, 256)]
    return np.asarray(torch.cat(parts).double().numpy())


def _old_within(checkpoint: Checkpoint) -> dict[str, Within]:
    return {entry.name: entry.error.within for entry in checkpoint.contract.tasks if entry.error is not None}
