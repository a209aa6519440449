"""Feature distillation: the encoder also learns a face recogniser's descriptors (Romero et al. 2015).

Labels are a few bits of each face; the descriptor of a network that has seen millions of people is
128 numbers. A linear map of the encoder's last stage, averaged over places, is drawn toward the teacher's
descriptor of the same face, less what all faces have in common. The map is thrown away after training.

The teacher looks at every face once, as it is stored, and not at what augmentation makes of it: a recogniser
describes a blurred face badly, while the student shall describe it the same.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.data.prepared.face_set import FaceSet
from training.teachers.face_api import DESCRIPTOR, FaceDescriptor
from training.train.loop.distributed import Distributed

# A teacher is a frozen module from RGB pixels 0..255 [B, H, W, 3] of aligned faces to descriptors [B, D].
# Name -> how to load it from a folder or file, and D.
TEACHERS: dict[str, tuple[Callable[[pathlib.Path], nn.Module], int]] = {
    "face_api": (FaceDescriptor.load, DESCRIPTOR),
}
LOSS = "distillation"
_BATCH = 64  # faces a call of the teacher


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """What a run distils from."""

    path: str  # where the teacher's weights lie
    teacher: str = "face_api"  # one of TEACHERS
    weight: float = 1.0  # of its loss among the tasks'
    centre: float = 0.85  # the middle part of the crop's side that the teacher sees: it wants a closer crop
    without: tuple[str, ...] = ()  # sets whose faces it does not describe (such as renders)

    def __post_init__(self) -> None:
        if self.teacher not in TEACHERS:
            raise ValueError(f"unknown teacher {self.teacher!r}: choose from {', '.join(TEACHERS)}")
        if not 0.3 <= self.centre <= 1:
            raise ValueError(f"centre {self.centre} must be a part of the crop between 0.3 and 1")
        if self.weight <= 0:
            raise ValueError(f"weight {self.weight} must be positive: leave distillation out instead")

    def build_loss(self, *, channels: int) -> "FeatureDistillation":
        """The loss of features of so many `channels`."""
        return FeatureDistillation(self, channels=channels)

    def describe(
        self, sets: Sequence[FaceSet], *, folder: pathlib.Path, where: Distributed
    ) -> list[NDArray[np.float32]]:
        """The teacher's descriptors of the faces of each set, standardised over all of them.

        The leading process runs the teacher and keeps what it gives in `folder`; the others read that.
        """
        described: list[NDArray[np.float32]] = []
        for leading in (True, False):
            if where.leads == leading:
                described = [
                    descriptors(faces, distillation=self, device=where.device, folder=folder)
                    for faces in sets
                ]
            where.wait()
        return standardised(described)


class FeatureDistillation(nn.Module):
    """The loss of an encoder's features against descriptors."""

    def __init__(self, distillation: Distillation, *, channels: int) -> None:
        """`channels` of the encoder's last stage."""
        super().__init__()
        _, width = TEACHERS[distillation.teacher]
        self.map = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))

    def count(self, described: Tensor) -> Tensor:
        """How many of the descriptors [B, D] are there (not NaN): a scalar."""
        return (~described.isnan().any(dim=1)).float().sum()

    def forward(self, features: Tensor, described: Tensor) -> Tensor:
        """Tokens [B, N, channels], descriptors [B, D] or NaN -> one minus the cosine, or 0, [B]."""
        predicted = self.map(features.mean(dim=1)).float()
        losses = 1 - functional.cosine_similarity(predicted, described.nan_to_num(), dim=1)
        return torch.where(described.isnan().any(dim=1), torch.zeros_like(losses), losses)


def descriptors(
    faces: FaceSet, *, distillation: Distillation, device: torch.device, folder: pathlib.Path
) -> NDArray[np.float32]:
    """The teacher's descriptor of each face of a set [N, D], NaN where it describes none.

    Kept as a file in `folder`, and read from there the next time. Raises ValueError where the teacher can't
    be loaded, OSError where `folder` can't be written.
    """
    load, width = TEACHERS[distillation.teacher]
    if faces.name in distillation.without:
        return np.full((len(faces), width), np.nan, np.float32)
    path = folder / f"{faces.name}-{_key(faces, distillation)}.npy"
    if path.exists():
        kept = np.load(path)
        if kept.shape == (len(faces), width):
            return np.asarray(kept, np.float32)
    teacher = load(pathlib.Path(distillation.path)).requires_grad_(False).to(device)
    described = np.empty((len(faces), width), np.float32)
    edge = round(faces.crop_size * (1 - distillation.centre) / 2)
    middle = slice(edge, faces.crop_size - edge)
    print(f"{distillation.teacher} describes {len(faces)} faces of {faces.name}", file=sys.stderr, flush=True)
    for start in range(0, len(faces), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(faces)))
        pixels = torch.from_numpy(faces.served_crops(rows, size=faces.crop_size)[:, middle, middle]).to(
            device
        )
        with torch.no_grad():
            described[rows] = teacher(pixels).float().cpu().numpy()
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, described)
    partial.replace(path)
    return described


def standardised(described: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Descriptors [N, D] a set, each number with mean 0 and deviation 1 over all of them; NaN stays NaN.

    Most of a descriptor is common to all faces: as they are, those of any two people have nearly the same
    direction, and a cosine is dominated by it.
    """
    together = np.concatenate(described)
    known = together[~np.isnan(together).any(axis=1)]
    if not len(known):
        raise ValueError(
            "distillation leaves no set to describe: take some out of distillation.without, or leave it out"
        )
    mean, deviation = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
    return [(rows - mean) / deviation for rows in described]


def _key(faces: FaceSet, distillation: Distillation) -> str:
    """Of everything that a set's descriptors depend on."""
    path = pathlib.Path(distillation.path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    inputs = [
        faces.fingerprint,
        faces.split,
        faces.subset,
        -faces.holdout_fraction if faces.held_out else faces.holdout_fraction,
        distillation.teacher,
        distillation.centre,
        [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()],
    ]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
