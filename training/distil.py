"""Feature distillation: the encoder also learns to say what a face recogniser says (Romero et al. 2015).

Labels tell a few bits of each face; the descriptor of a network that has seen millions of people tells
128 numbers. A linear map of the encoder's last stage, averaged over places, is drawn toward the teacher's
descriptor of the same (augmented) pixels. The map is thrown away after training.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.teachers.face_api import DESCRIPTOR, FaceDescriptor

# A teacher is a frozen module from RGB pixels 0..255 [B, H, W, 3] of aligned faces to descriptors [B, D].
# Name -> how to load it from a folder or file, and D.
TEACHERS: dict[str, tuple[Callable[[pathlib.Path], nn.Module], int]] = {
    "face_api": (FaceDescriptor.load, DESCRIPTOR),
}
LOSS = "distillation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """What a run distils from."""

    path: str  # where the teacher's weights lie
    teacher: str = "face_api"  # one of TEACHERS
    weight: float = 1.0  # of its loss among the tasks'
    centre: float = 0.85  # the middle part of the crop's side that the teacher sees: it wants a closer crop

    def __post_init__(self) -> None:
        if self.teacher not in TEACHERS:
            raise ValueError(f"unknown teacher {self.teacher!r}: choose from {', '.join(TEACHERS)}")
        if not 0.3 <= self.centre <= 1:
            raise ValueError(f"centre {self.centre} must be a part of the crop between 0.3 and 1")
        if self.weight <= 0:
            raise ValueError(f"weight {self.weight} must be positive: leave distil out instead")


class FeatureDistillation(nn.Module):
    """The loss of an encoder's features against its teacher's descriptors."""

    def __init__(self, distillation: Distillation, *, channels: int) -> None:
        """`channels` of the encoder's last stage. ValueError where the teacher can't be loaded."""
        super().__init__()
        load, width = TEACHERS[distillation.teacher]
        self.centre = distillation.centre
        teacher = load(pathlib.Path(distillation.path)).requires_grad_(False)
        # Not a submodule: the teacher is neither trained nor saved with the run.
        self._teacher = [teacher]
        self.map = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))

    def forward(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Tokens [B, N, channels] of pixels 0..255 [B, S, S, 3] -> a loss [B]: one minus the cosine."""
        wanted = self.descriptors(pixels)
        said = self.map(features.mean(dim=1))
        return 1 - functional.cosine_similarity(said.float(), wanted, dim=1)

    def descriptors(self, pixels: Tensor) -> Tensor:
        """What the teacher says of the crops' middle [B, D]."""
        teacher = self._teacher[0].to(pixels.device)
        side = pixels.shape[1]
        edge = round(side * (1 - self.centre) / 2)
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            descriptors: Tensor = teacher(pixels[:, edge : side - edge, edge : side - edge])
        return descriptors
