"""Faces without labels for masked image modelling: the faces of a step, their crops, the order of patches."""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet

Batch = dict[str, NDArray[np.generic]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cropping:
    """The augmentation of masked image modelling: a random part of the face, mirrored or not."""

    smallest: float = 0.4  # smallest part of the served crop's area that is kept
    stretch: float = 4 / 3  # largest ratio of the part's sides
    mirrored: float = 0.5  # probability

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= 1 or self.stretch < 1 or not 0 <= self.mirrored <= 1:
            raise ValueError(
                f"smallest {self.smallest} must be in (0, 1], stretch {self.stretch} at least 1 and "
                f"mirrored {self.mirrored} a probability"
            )


class UnlabelledBatches:
    """A map-style data set whose items are steps (training.train.objectives.objective.StepData).

    A pass over all sets together is a seeded permutation without replacement. Item `step` has this
    process's share of it, the same for the same seed: `pixels` uint8 [B, S, S, 3], and `order` int64
    [B, N], each face's patches in random order, of which the first ones are visible.
    """

    def __init__(
        self,
        sets: Sequence[FaceSet],
        *,
        batch: int,
        steps: int,
        input_size: int,
        patches: int,
        cropping: Cropping,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`batch` faces a step over all `world` processes; ValueError where there are fewer faces."""
        self.sets = list(sets)
        self.ends = np.cumsum([len(faces) for faces in self.sets])
        self.faces = int(self.ends[-1])
        if batch > self.faces:
            raise ValueError(f"a batch of {batch} is larger than all {self.faces} faces: take a smaller one")
        if batch % world:
            raise ValueError(f"a batch of {batch} can't be shared by {world} processes: take a multiple")
        self.batch, self.steps, self.size, self.patches = batch, steps, input_size, patches
        self.cropping, self.seed, self.rank, self.world = cropping, seed, rank, world
        self._pass: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        rows = range(self.rank, self.batch, self.world)
        places = self._places(step)
        pixels, order = [], []
        for row in rows:
            rng = np.random.default_rng([self.seed, step, row])
            faces, i = places[row]
            pixels.append(
                random_crop(
                    faces.stored_crop(i), margin=faces.margin, size=self.size, rng=rng, cropping=self.cropping
                )
            )
            order.append(rng.permutation(self.patches))
        return {"pixels": np.stack(pixels), "order": np.stack(order).astype(np.int64)}

    def names(self, step: int) -> list[str]:
        """This process's faces of a step: set and file."""
        places = self._places(step)
        return [f"{s.name}/{s.key(i)}" for s, i in places[self.rank :: self.world]]

    def _places(self, step: int) -> list[tuple[FaceSet, int]]:
        """The set and the index in it of every face of a step."""
        places = []
        for position in range(step * self.batch, (step + 1) * self.batch):
            number = int(self._permutation(position // self.faces)[position % self.faces])
            set_number = int(np.searchsorted(self.ends, number, side="right"))
            faces = self.sets[set_number]
            places.append((faces, number - int(self.ends[set_number]) + len(faces)))
        return places

    def _permutation(self, number: int) -> NDArray[np.int64]:
        if self._pass[0] != number:
            rng = np.random.default_rng([self.seed, 1_000_003, number])
            self._pass = (number, rng.permutation(self.faces))
        return self._pass[1]


def random_crop(
    stored: NDArray[np.uint8], *, margin: int, size: int, rng: np.random.Generator, cropping: Cropping
) -> NDArray[np.uint8]:
    """A random part of a stored crop's served square, as [size, size, 3]."""
    side = stored.shape[0] - 2 * margin
    area = rng.uniform(cropping.smallest, 1)
    ratio = math.exp(rng.uniform(-1, 1) * math.log(cropping.stretch))
    width = min(math.sqrt(area * ratio), 1) * side
    height = min(math.sqrt(area / ratio), 1) * side
    x, y = margin + rng.uniform(0, side - width), margin + rng.uniform(0, side - height)
    # From a pixel of the part to the stored crop, both by their pixels' centres.
    matrix = np.array(
        [[width / size, 0, x + width / size / 2 - 0.5], [0, height / size, y + height / size / 2 - 0.5]]
    )
    if rng.random() < cropping.mirrored:
        matrix[0] = [-width / size, 0, x + width - width / size / 2 - 0.5]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(stored, matrix, (size, size), flags=flags), np.uint8)
