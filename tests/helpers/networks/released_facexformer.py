"""The released FaceXFormer's checkpoint as its own code would hold it, filled by a rule instead of training.

tests/assets/facexformer/ has the names and shapes of its 505 entries and what the official code answers
when each is filled from its name alone.
"""

import json
import zlib

import numpy as np
import torch
import torchvision

from tests.helpers.paths import ASSETS

ASSETS = ASSETS / "facexformer"


def released_state() -> dict[str, torch.Tensor]:
    """The state dict under `state_dict_backbone`, filled by the golden rule."""
    entries = json.loads((ASSETS / "facexformer_state_dict.json").read_text())
    own = torchvision.models.swin_b(weights=None).state_dict()  # integers are the network's own
    return {
        name: _filled(name, entry["shape"])
        if entry["dtype"].startswith("float")
        else own["features." + name.removeprefix("backbone.0.")]
        for name, entry in entries.items()
    }


def _filled(name: str, shape: list[int]) -> torch.Tensor:
    values = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if len(shape) == 1:
        values = 1 + 0.1 * values if name.endswith("weight") else 0.02 * values
    elif "gaussian_matrix" not in name:
        values /= np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def golden_input() -> torch.Tensor:
    """Two normalised images [2, 3, 224, 224]."""
    values = np.random.Generator(np.random.PCG64(7)).standard_normal((2, 3, 224, 224))
    return torch.from_numpy(values.astype(np.float32))


def golden_answers() -> dict[str, np.ndarray]:
    """The official code's answers; `parsing_sub` is every fourth pixel, `parsing_mean` the mean of all."""
    with np.load(ASSETS / "facexformer_golden.npz") as file:
        return dict(file)
