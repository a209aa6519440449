"""Reconstruction of hidden patches of a face by a pretraining run (Q-Face, section 3.1)."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.sampling.unlabelled_batches import Cropping
from training.models import QFaceConfig
from training.models.checkpoint import tuples
from training.train.loop.run_state import identity_of, load_state
from training.train.objectives.masked_reconstruction import MaskedReconstruction
from training.train.pretrain import Pretraining

_SEED = 0  # of the hidden patches: the same for every run, so that figures can be compared
_GREY = 127.0  # of a hidden patch


def load_pretraining(run: pathlib.Path) -> MaskedReconstruction:
    """The masked autoencoder of a run of training.train.pretrain, from RUN/last.pt, in evaluation mode.

    It is on the CPU. ValueError where the file is no state of such a run.
    """
    path = run / "last.pt"
    state = load_state(path)
    try:
        fields = _tuples_in(identity_of(state)["pretraining"])
        fields["model"] = QFaceConfig(**_tuples_in(fields["model"]))
        fields["cropping"] = Cropping(**fields["cropping"])
        objective = Pretraining(**fields).build_objective()
        objective.load_state_dict(state["objective"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{path} is not the state of a pretraining run of this code: name the --run folder of "
            "training.train.pretrain"
        ) from None
    return objective.eval()


def reconstructed(
    objective: MaskedReconstruction, crops: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Crops [B, S, S, 3] with hidden patches in grey, and the same with those patches reconstructed.

    A run that reconstructs normalised patches predicts neither their brightness nor their contrast: both
    are taken from the face itself.
    """
    autoencoder, visible = objective.autoencoder, objective.visible
    generator = torch.Generator().manual_seed(_SEED)
    order = torch.stack([torch.randperm(objective.patches, generator=generator) for _ in crops])
    pixels = torch.from_numpy(crops)
    with torch.inference_mode():
        _, painted = autoencoder(objective.images(pixels), order, visible=visible)
        plain = autoencoder.patches(objective.images(pixels))
        if autoencoder.normalised:
            deviation = (plain.var(dim=2, keepdim=True, correction=0) + 1e-6).sqrt()
            painted = painted * deviation + plain.mean(dim=2, keepdim=True)
        hidden = torch.zeros(order.shape, dtype=torch.bool).scatter_(1, order[:, visible:], True)
        whole = autoencoder.picture(torch.where(hidden[..., None], painted, plain))
        places = autoencoder.picture(hidden[..., None].expand_as(plain).float())
    covered = places.permute(0, 2, 3, 1) > 0
    masked = torch.where(covered, torch.tensor(_GREY), pixels.float())
    return _bytes(masked), _bytes(torch.where(covered, objective.pixels(whole), pixels.float()))


def _tuples_in(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's fields as they were before JSON."""
    return {name: tuples(value) for name, value in fields.items()}


def _bytes(pixels: Tensor) -> NDArray[np.uint8]:
    return pixels.round().clamp(0, 255).to(torch.uint8).numpy()
