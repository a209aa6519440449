"""Which faces a step draws from which set, and their pixels and targets (Q-Face, section 3.4).

Every step draws from every set. A pass over a set is a permutation without replacement, and small sets
repeat more often than large ones. What a step draws follows from (seed, step) alone: neither the
number of worker processes nor that of training processes changes it.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.data.sampling.augmentation import (
    Augmentation,
    augment_pixels,
    draw_geometry,
    fill_frame,
    warp_picture,
)
from training.data.sampling.balance import weighted_pass
from training.kinds import kind_of
from training.kinds.forms import NOISE_NUMBERS, Motion
from training.tasks import CATALOGUE, Task

Batch = dict[str, NDArray[np.generic]]


class StepBatches(torch.utils.data.Dataset[Batch]):
    """A map-style data set whose items are steps (training.train.objectives.objective.StepData).

    An item has `pixels` uint8 [B, S, S, 3]; for each task its target, as
    training.train.objectives.task_loss.loss_sum takes it (NaN or 255 where a face has no label), and
    `<task>/confidence` float32 [B].
    """

    def __init__(
        self,
        sets: Sequence[FaceSet],
        *,
        counts: Sequence[int],
        tasks: Sequence[Task],
        size: int,
        steps: int,
        seed: int,
        augmentation: Augmentation,
        noise: bool = True,
        surround: Sequence[bool] = (),
        draw_weights: Sequence[NDArray[np.float64] | None] = (),
        features: Mapping[str, Sequence[NDArray[np.float32]]] = MappingProxyType({}),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`counts` faces a step of each set over all `world` processes, of which this is number `rank`.

        `surround` [set] is true for sets whose close-cut chips get the surroundings of another set's
        photos: those of the first set where it is false. `draw_weights` [set] is how often each face is
        drawn [N] against the others (training.data.sampling.balance), None for a set whose passes have each
        face once. `features` are further columns, by name an
        array [N, D] a set, unchanged by augmentation. `noise` adds the paper's to ages and rotations.
        Raises ValueError where a process would get no face.
        """
        self.sets, self.counts, self.tasks = list(sets), list(counts), tuple(tasks)
        self.size, self.steps, self.seed, self.noise = size, steps, seed, noise
        self.augmentation, self.rank, self.world = augmentation, rank, world
        self.surround = list(surround) or [False] * len(self.sets)
        self.draw_weights = list(draw_weights) or [None] * len(self.sets)
        self.features = {name: list(arrays) for name, arrays in features.items()}
        self.background_set = next(
            (s for s, close in zip(self.sets, self.surround, strict=True) if not close), None
        )
        self._passes: dict[tuple[int, int], NDArray[np.int64]] = {}
        if not any(count > rank for count in self.counts):
            raise ValueError(
                f"a step of {sum(self.counts)} faces leaves none for process {rank}: "
                "take larger batches or fewer processes"
            )

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        parts = [self._set_batch(number, step) for number in range(len(self.sets))]
        return {
            name: np.concatenate([part[name] for part in parts if len(part["pixels"])]) for name in parts[0]
        }

    def names(self, step: int) -> list[str]:
        """This process's faces of a step: set and file."""
        return [
            f"{faces.name}/{faces.key(int(i))}"
            for number, faces in enumerate(self.sets)
            for i in self.drawn_indices(number, step)[self.rank :: self.world]
        ]

    def drawn_indices(self, number: int, step: int) -> NDArray[np.int64]:
        """The indices of all processes' faces of a step in set `number`."""
        count, total = self.counts[number], len(self.sets[number])
        positions = np.arange(step * count, (step + 1) * count)
        indices = np.empty(count, np.int64)
        for pass_number in np.unique(positions // total):
            in_pass = positions // total == pass_number
            indices[in_pass] = self._pass(number, int(pass_number))[positions[in_pass] % total]
        return indices

    def _pass(self, number: int, pass_number: int) -> NDArray[np.int64]:
        """The order of one pass over a set; earlier passes are dropped."""
        key = (number, pass_number)
        if key not in self._passes:
            self._passes = {
                k: v for k, v in self._passes.items() if k[0] != number or k[1] == pass_number - 1
            }
            rng = np.random.default_rng([self.seed, 0, number, pass_number])
            order = rng.permutation(len(self.sets[number]))
            weights = self.draw_weights[number]
            self._passes[key] = order if weights is None else weighted_pass(order, weights, rng=rng)
        return self._passes[key]

    def _set_batch(self, number: int, step: int) -> Batch:
        """This process's share of one set's faces."""
        faces = self.sets[number]
        places = np.arange(self.counts[number])[self.rank :: self.world]
        indices = self.drawn_indices(number, step)[places]
        # A face's random numbers depend on its place in the global batch, for any number of processes.
        rngs = [np.random.default_rng([self.seed, 1, step, number, int(place)]) for place in places]
        geometries = [
            draw_geometry(
                rng,
                augmentation=self.augmentation,
                side=faces.crop_size + 2 * faces.margin,
                crop_size=faces.crop_size,
                size=self.size,
            )
            for rng in rngs
        ]
        noise = np.array([rng.normal(size=NOISE_NUMBERS) for rng in rngs]).reshape(-1, NOISE_NUMBERS)
        pixels = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        covered = np.full((len(indices), 4), np.nan)
        for k, index in enumerate(indices.tolist()):
            crop = faces.stored_crop(index)
            if self.surround[number] and self.background_set is not None:
                crop = self._fill_frame(crop, rngs[k])
            picture = warp_picture(crop, geometries[k].matrix, size=self.size)
            pixels[k], covered[k] = augment_pixels(picture, rng=rngs[k], augmentation=self.augmentation)
        motion = Motion(
            matrix=np.array([g.matrix for g in geometries]).reshape(-1, 2, 3),
            mirrored=np.array([g.mirrored for g in geometries], bool),
            turned=np.array([g.turned for g in geometries], np.float64),
            covered=covered,
            size=self.size,
        )
        batch: Batch = {"pixels": pixels}
        batch |= {name: arrays[number][indices] for name, arrays in self.features.items()}
        for task in self.tasks:
            target = kind_of(task).batch_target(
                task, faces, indices, motion=motion, points=_moved_points(task, faces, indices, motion)
            )
            batch[task.name] = kind_of(task).noisy(task, target, noise) if self.noise else target
            confidence = faces.confidence.get(task.name)
            batch[f"{task.name}/confidence"] = (
                np.ones(len(indices), np.float32)
                if confidence is None
                else np.asarray(confidence[indices], np.float32)
            )
        return batch

    def _fill_frame(self, crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if self.background_set is None or rng.random() >= self.augmentation.surround:
            return crop
        other = self.background_set.stored_crop(int(rng.integers(len(self.background_set))))
        return fill_frame(crop, other) if other.shape == crop.shape else crop


def _moved_points(
    task: Task, faces: FaceSet, indices: NDArray[np.int64], motion: Motion
) -> NDArray[np.float32] | None:
    """The points that a task's labels are about (Task.aligned_to), as targets; None where a set has none."""
    if task.aligned_labels is None or task.aligned_to not in faces.columns:
        return None
    points = CATALOGUE[task.aligned_to]
    return kind_of(points).batch_target(points, faces, indices, motion=motion)
