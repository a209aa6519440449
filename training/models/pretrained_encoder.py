"""Where an encoder's weights come from before fine-tuning: a file, or timm's weights from ImageNet.

A file is any safetensors file with an encoder of the same timm model: what `training.train.pretrain` wrote, a
Q-Face checkpoint, or timm's own weights.
"""

import pathlib
from collections.abc import Mapping

import safetensors
import safetensors.torch
import timm
from torch import Tensor

from training.models.network import FaceNetwork

IMAGENET = "imagenet"
# How the encoder's weights may be named in a file, the longest first.
_PREFIXES = ("encoder.model.", "encoder.", "model.", "")
# A ViT's position embedding is fixed (section 3.1), whatever a file learned.
_FIXED = ("pos_embed",)


def load_encoder(model: FaceNetwork, path: pathlib.Path) -> list[str]:
    """Takes a network's encoder from a safetensors file; a line for each thing taken and not taken.

    Raises ValueError if the file can't be read, or holds no encoder of this kind.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name the .safetensors file in it")
    try:
        tensors = safetensors.torch.load_file(str(path))
    except FileNotFoundError:
        raise ValueError(
            f'{path} does not exist: name a .safetensors file to begin with, "{IMAGENET}", or "random"'
        ) from None
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a safetensors file ({error}): give one that training.train.pretrain or "
            "training.train.finetune wrote"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror or error}): make it readable") from None
    return _take(model, tensors, source=str(path))


def load_imagenet(model: FaceNetwork) -> list[str]:
    """Takes a network's encoder from timm's weights for ImageNet, which the Hugging Face hub keeps.

    Returns what `load_encoder` does. Raises ValueError if there are none, or the hub can't be reached and
    they were never downloaded.
    """
    name = model.config.encoder
    if not timm.is_model_pretrained(name):
        raise ValueError(f'timm has no ImageNet weights for {name!r}: take init="random", or a file')
    try:
        pretrained = timm.create_model(name, pretrained=True, num_classes=0)
    # Without a network, the hub's client fails in ways of its own, requests' and the operating system's.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"the ImageNet weights of {name!r} can't be downloaded ({reason}): go online once, set HF_HOME "
            'to a folder that has them, or take init="random" or a file'
        ) from None
    return _take(model, pretrained.state_dict(), source=f"timm's {name}")


def _take(model: FaceNetwork, tensors: Mapping[str, Tensor], *, source: str) -> list[str]:
    own = model.encoder.model.state_dict()
    prefix = next((p for p in _PREFIXES if any(p + name in tensors for name in own)), None)
    if prefix is None:
        raise ValueError(
            f"{source} holds no weight of the encoder {model.config.encoder!r}: "
            "give a file of the same encoder"
        )
    loaded = {
        name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
    fits = {
        name: loaded[name].to(tensor.dtype)
        for name, tensor in own.items()
        if name in loaded and loaded[name].shape == tensor.shape and name not in _FIXED
    }
    needed = [name for name in own if name not in _FIXED]
    # A weight of another shape means another encoder whose names happen to agree.
    other = [name for name in needed if name in loaded and name not in fits]
    if other or 2 * len(fits) < len(needed):
        why = (
            f"{other[0]} is {list(loaded[other[0]].shape)} instead of {list(own[other[0]].shape)}"
            if other
            else f"{len(needed) - len(fits)} of {len(needed)} weights are missing"
        )
        raise ValueError(
            f"{source} does not fit the encoder {model.config.encoder!r} ({why}): "
            "give a file of the same encoder"
        )
    model.encoder.model.load_state_dict(fits, strict=False)
    report = [f"{len(fits)} of the encoder's {len(needed)} weights come from {source}"]
    missing = [name for name in needed if name not in fits]
    if missing:
        report.append(f"random stay {_listed(missing)}, which {source} does not have")
    left = [name for name in loaded if name not in own] if prefix else [n for n in tensors if n not in own]
    if left:
        report.append(f"not taken from {source}: {_listed(left)}")
    return report


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
