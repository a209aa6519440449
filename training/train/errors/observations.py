"""What error heads are fitted to: of held-out faces the features of queries, and how far the truth lies."""

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.prepared.face_set import FaceSet
from training.data.sampling.augmentation import NO_AUGMENTATION, Augmentation
from training.data.sampling.step_batches import StepBatches
from training.kinds import kind_of
from training.models.network import FaceNetwork, ModelOutput
from training.task_type import Task

_BATCH = 32
# What makes crops bad, drawn more often than training does.
_HARDER = {"blur": 0.5, "gamma": 0.25}
FIT, CHECK, MEASURE = range(3)  # parts of the held-out faces: 3/8, 1/8 and 1/2 of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observations:
    """One task on N draws of faces, of which all numbers' truths are known or some."""

    features: Tensor  # fp16 [N, Q, D], of the task's queries
    ranges: NDArray[np.float64]  # [N, K, 2], of the distance of the truth; NaN where not known
    weights: NDArray[np.float64]  # [N]: each set counts alike, a face by how sure its label is
    parts: NDArray[np.int64]  # [N]: FIT, CHECK or MEASURE; a person is in one of them
    sets: NDArray[np.int64]  # [N]: the number of the face's set
    as_served: NDArray[np.bool_]  # [N]: the crop as it is, and not made worse

    def where(self, rows: NDArray[np.bool_]) -> "Observations":
        """Those of these rows [N]."""
        return Observations(
            features=self.features[torch.from_numpy(rows)],
            **{
                field.name: getattr(self, field.name)[rows]
                for field in dataclasses.fields(self)
                if field.name != "features"
            },
        )


def harder(augmentation: Augmentation) -> Augmentation:
    """With more blurred, low-resolution, compressed and dark pictures than a run's."""
    raised = {name: max(getattr(augmentation, name), least) for name, least in _HARDER.items()}
    return dataclasses.replace(augmentation, **raised)


def observe(
    model: FaceNetwork,
    tasks: Sequence[Task],
    sets: Sequence[FaceSet],
    *,
    augmentation: Augmentation,
    surrounded: Collection[str] = (),
    draws: int,
    limit: int,
    seed: int,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Observations]:
    """Faces of the sets as they are served, and `draws` times augmented: at most `limit` of a set each time.

    `surrounded` names the sets whose chips' black frames get other photos' surroundings. A task that no face
    is labelled for is left out.
    """
    found: dict[str, list[Observations]] = {}
    for number, faces in enumerate(sets):
        labelled = [task for task in tasks if kind_of(task).labelled(task, faces)]
        if not labelled:
            continue
        log(f"{faces.name}: {min(len(faces), limit)} faces, {1 + draws} times: {_names(labelled)}")
        parts, background = person_parts(faces), [s for s in sets if s.name not in surrounded][:1]
        for draw in range(1 + draws):
            batches = StepBatches(
                [faces, *background],
                counts=[_BATCH, *(0 for _ in background)],
                tasks=labelled,
                size=model.config.input_size,
                steps=-(-min(len(faces), limit) // _BATCH),
                seed=seed + draw,
                augmentation=augmentation if draw else NO_AUGMENTATION,
                noise=False,
                surround=[faces.name in surrounded, *(False for _ in background)],
            )
            for part in _observed(model, labelled, batches, faces=min(len(faces), limit)):
                for task in labelled:
                    found.setdefault(task.name, []).append(
                        part.observations(task, number=number, parts=parts, as_served=draw == 0)
                    )
    return {name: _joined(rows) for name, rows in found.items()}


def person_parts(faces: FaceSet) -> NDArray[np.int64]:
    """[N]: the part of each face, by a hash of its person, or of its key where the person is not known."""
    names = [person or key for person, key in zip(faces.persons.tolist(), faces.keys.tolist(), strict=True)]
    hashed = [int(hashlib.sha256(f"errors/{name}".encode()).hexdigest()[:8], 16) % 8 for name in names]
    return np.array([FIT if part < 3 else CHECK if part < 4 else MEASURE for part in hashed], np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Batch:
    """What the network found of some faces, and their targets."""

    output: ModelOutput
    targets: Mapping[str, NDArray[Any]]  # by task, and `<task>/confidence`
    indices: NDArray[np.int64]  # the faces in their set
    input_size: int

    def observations(
        self, task: Task, *, number: int, parts: NDArray[np.int64], as_served: bool
    ) -> Observations:
        kind, count = kind_of(task), len(self.indices)
        answers = kind.physical(task, self.output.logits[task.name], input_size=self.input_size)
        return Observations(
            features=self.output.queries[task.name].half(),
            ranges=kind.error_ranges(
                task, answers.numpy(), self.targets[task.name], input_size=self.input_size
            ),
            weights=np.asarray(self.targets[f"{task.name}/confidence"], np.float64),
            parts=parts[self.indices],
            sets=np.full(count, number),
            as_served=np.full(count, as_served),
        )


def _observed(
    model: FaceNetwork, tasks: Sequence[Task], batches: StepBatches, *, faces: int
) -> Iterator[_Batch]:
    for step in range(len(batches)):
        rows = slice(0, min(_BATCH, faces - step * _BATCH))
        batch = batches[step]
        with torch.inference_mode():
            # No masks: they have no expected errors.
            output = model(torch.from_numpy(batch["pixels"][rows]), masked_rows=torch.arange(0))
        names = [name for task in tasks for name in (task.name, f"{task.name}/confidence")]
        yield _Batch(
            output=output,
            targets={name: batch[name][rows] for name in names},
            indices=batches.drawn_indices(0, step)[rows],
            input_size=model.config.input_size,
        )


def _joined(rows: Sequence[Observations]) -> Observations:
    """All of them, without the draws of which no truth is known; every set weighs the same."""
    arrays = {
        field.name: np.concatenate([getattr(row, field.name) for row in rows])
        for field in dataclasses.fields(Observations)
        if field.name != "features"
    }
    whole = Observations(features=torch.cat([row.features for row in rows]), **arrays)
    whole = whole.where(~np.isnan(whole.ranges).all(axis=(1, 2)))
    of_set = np.bincount(whole.sets, weights=whole.weights)
    return dataclasses.replace(whole, weights=whole.weights / of_set[whole.sets])


def _names(tasks: Sequence[Task]) -> str:
    return ", ".join(task.name for task in tasks)
