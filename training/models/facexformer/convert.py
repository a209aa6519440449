"""Convert the released FaceXFormer checkpoint into one of ours.

    python -m training.models.facexformer.convert model.pt --output facexformer.safetensors

The released file is torch's, with the weights under `state_dict_backbone` beside a training run's state.
Every one of its 505 entries is used, or follows from the network's shape, or is one of two that its own
network never uses; anything else is an error that names it. The weights stay fp32.
"""

import argparse
import hashlib
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.cli import run_cli
from training.models import Checkpoint, FaceXFormer, FaceXFormerConfig, save_checkpoint
from training.models.facexformer.network import HEADS, PARSING_CLASSES

KEY = "state_dict_backbone"

# In the order of our tokens.
_TOKENS = tuple(
    f"face_decoder.{name}.weight"
    for name in (
        *(
            f"{head}_token"
            for head in ("landmarks", "pose", "attribute", "visibility", "age", "gender", "race")
        ),
        "mask_tokens",
    )
)
# The norm behind Swin's last stage, which the released forward leaves out.
_UNUSED = frozenset({"backbone.1.weight", "backbone.1.bias"})
# Our names -> the released ones, applied one after the other. The encoder's are torchvision's there, timm's
# here.
_RENAMED = tuple(
    (re.compile(pattern), released)
    for pattern, released in (
        (r"^encoder\.model\.patch_embed\.proj\.", "backbone.0.0.0."),
        (r"^encoder\.model\.patch_embed\.norm\.", "backbone.0.0.2."),
        *((rf"^encoder\.model\.layers\.{i}\.blocks\.", f"backbone.0.{2 * i + 1}.") for i in range(4)),
        *((rf"^encoder\.model\.layers\.{i}\.downsample\.", f"backbone.0.{2 * i}.") for i in range(1, 4)),
        (r"(?<=\d)\.mlp\.fc1\.", ".mlp.0."),
        (r"(?<=\d)\.mlp\.fc2\.", ".mlp.3."),
        (r"^projections\.(\d)\.", r"linear_c.\1.proj."),
        (r"^fuse\.", "linear_fuse."),
        (r"^positions\.gaussian$", "pe_layer.positional_encoding_gaussian_matrix"),
        (r"^upscale\.1\.norm\.", "face_decoder.output_upscaling.1."),
        (r"^upscale\.", "face_decoder.output_upscaling."),
        (r"^mask_head\.", "face_decoder.output_hypernetwork_mlps."),
        (r"^heads\.head_pose\.", "face_decoder.pose_prediction_head."),
        (r"^heads\.attributes\.", "face_decoder.attribute_prediction_head."),
        (r"^heads\.(\w+)\.", r"face_decoder.\1_prediction_head."),
        (r"^decoder\.blocks\.", "face_decoder.transformer.layers."),
        (r"^decoder\.last\.", "face_decoder.transformer.final_attn_token_to_image."),
        (r"^decoder\.norm\.", "face_decoder.transformer.norm_final_attn."),
        (r"(?<=\d)\.self_attention\.", ".self_attn."),
        (r"\.tokens_to_features\.", ".cross_attn_token_to_image."),
        (r"\.features_to_tokens\.", ".cross_attn_image_to_token."),
        (r"(?<=\d)\.linear(\d)\.", r".mlp.lin\1."),
        (r"\.query\.", ".q_proj."),
        (r"\.key\.", ".k_proj."),
        (r"\.value\.", ".v_proj."),
        (r"\.out\.", ".out_proj."),
    )
)
_SHOWN = 5  # names in a message


def converted(released: Mapping[str, Any], *, model: FaceXFormer) -> dict[str, Tensor]:
    """The released network's state as that of `model`, in fp32.

    Raises ValueError for entries that are missing, too many, of another shape or type, or not finite.
    """
    released_names = {name: _released_name(name) for name in model.state_dict() if name != "tokens"}
    derived = _derived(model)
    missing = [name for name in (*released_names.values(), *_TOKENS) if name not in released]
    if missing:
        raise ValueError(f"its weights lack {_listed(missing)}")
    over = sorted(released.keys() - set(released_names.values()) - set(_TOKENS) - _UNUSED - derived.keys())
    if over:
        raise ValueError(f"its weights have {_listed(over)}, which FaceXFormer has not")
    renamed = {ours: released[name] for ours, name in released_names.items()}
    # One token a head, and the rest for the classes of a mask.
    parts = torch.split(model.tokens, [*[1] * len(HEADS), PARSING_CLASSES])
    wrong = [
        released_names[name] for name, value in renamed.items() if not _fits(value, model.state_dict()[name])
    ]
    wrong += [name for name, ours in zip(_TOKENS, parts, strict=True) if not _fits(released[name], ours)]
    if wrong:
        raise ValueError(f"{_listed(wrong)} has another shape or type than in FaceXFormer")
    state = {"tokens": torch.cat([released[name] for name in _TOKENS]), **renamed}
    for name, value in derived.items():
        if name in released and not torch.equal(torch.as_tensor(released[name]).flatten(), value.flatten()):
            raise ValueError(f"{name} differs from what FaceXFormer's windows have")
    infinite = [name for name, value in state.items() if not bool(value.isfinite().all())]
    if infinite:
        raise ValueError(f"{_listed([released_names.get(name, name) for name in infinite])} is not finite")
    return {name: value.float() for name, value in state.items()}


def convert(path: Path) -> Checkpoint:
    """The released file as a checkpoint in fp32; ValueError for a file that is not it."""
    give = "give the released FaceXFormer's model.pt"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: {give}") from None
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} is no torch file, or holds more than tensors and numbers, which is not loaded for "
            f"safety: {give}"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror or error}): make it readable") from None
    # torch's zip reader has errors of no common class for a file that is cut short or is none.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is no whole torch file ({reason}): {give}") from None
    state = content.get(KEY) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        has = _listed([str(key) for key in content]) if isinstance(content, Mapping) else "no names at all"
        raise ValueError(f"{path} has no {KEY} but {has}: {give}")
    model = FaceXFormer(FaceXFormerConfig())
    try:
        model.load_state_dict(converted(state, model=model))
    except ValueError as error:
        raise ValueError(f"{path} holds another architecture ({error}): {give}") from None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    card = {
        "trained": True,
        "note": "the released FaceXFormer, trained by its authors (Narayan et al. 2024) and converted here",
        "licence": "as its authors released it",
        "converted_from": {"file": path.name, "sha256": sha256},
    }
    return Checkpoint(model=model.eval(), contract=model.contract(), card=card, weights="fp32")


def _released_name(ours: str) -> str:
    for pattern, released in _RENAMED:
        ours = pattern.sub(released, ours)
    return ours


def _derived(model: FaceXFormer) -> dict[str, Tensor]:
    """Released entries that follow from the windows' size, with what they must be."""
    return {
        f"backbone.0.{2 * i + 1}.{j}.attn.relative_position_index": block.attn.relative_position_index
        for i, layer in enumerate(model.encoder.model.layers)
        for j, block in enumerate(layer.blocks)
    }


def _fits(value: Any, ours: Tensor) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.shape == ours.shape


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.models.facexformer.convert", description=__doc__.splitlines()[0]
    )
    parser.add_argument("released", type=Path, metavar="model.pt", help="the released checkpoint")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file to write")
    options = parser.parse_args(arguments)

    def work() -> None:
        checkpoint = convert(options.released)
        save_checkpoint(options.output, checkpoint)
        size = options.output.stat().st_size / 1e6
        tasks = ", ".join(checkpoint.contract.names)
        print(f"{options.output}: FaceXFormer in fp32, {size:.0f} MB, which answers {tasks}")

    return run_cli("training.models.facexformer.convert", work, place=options.output)


if __name__ == "__main__":
    sys.exit(main())
