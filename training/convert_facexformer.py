"""Turns the released FaceXFormer checkpoint into one of ours.

    python -m training.convert_facexformer model.pt --output facexformer.safetensors

The released file is torch's, with the weights under `state_dict_backbone` beside a training run's state.
Every one of its 505 entries is used, or is one of two that its own network never uses, or is named in an
error.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

KEY = "state_dict_backbone"

# In the order of our tokens.
_TOKENS = (
    *(f"{name}_token" for name in ("landmarks", "pose", "attribute", "visibility", "age", "gender", "race")),
    "mask_tokens",
)
# The norm behind Swin's last stage, which the released forward leaves out.
_UNUSED = frozenset({"backbone.1.weight", "backbone.1.bias"})
# Released names -> ours, applied one after the other.
_RENAMED = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^backbone\.0\.", "encoder."),
        (r"^linear_c\.(\d)\.proj\.", r"projections.\1."),
        (r"^linear_fuse\.", "fuse."),
        (r"^pe_layer\.positional_encoding_gaussian_matrix$", "positions.gaussian"),
        (r"^face_decoder\.output_upscaling\.1\.", "upscale.1.norm."),
        (r"^face_decoder\.output_upscaling\.", "upscale."),
        (r"^face_decoder\.output_hypernetwork_mlps\.", "mask_head."),
        (r"^face_decoder\.pose_prediction_head\.", "heads.head_pose."),
        (r"^face_decoder\.attribute_prediction_head\.", "heads.attributes."),
        (r"^face_decoder\.(\w+)_prediction_head\.", r"heads.\1."),
        (r"^face_decoder\.transformer\.layers\.", "decoder.blocks."),
        (r"^face_decoder\.transformer\.final_attn_token_to_image\.", "decoder.last."),
        (r"^face_decoder\.transformer\.norm_final_attn\.", "decoder.norm."),
        (r"(?<=\d)\.self_attn\.", ".self_attention."),
        (r"\.cross_attn_token_to_image\.", ".tokens_to_features."),
        (r"\.cross_attn_image_to_token\.", ".features_to_tokens."),
        (r"(?<=\d)\.mlp\.lin(\d)\.", r".linear\1."),
        (r"\.q_proj\.", ".query."),
        (r"\.k_proj\.", ".key."),
        (r"\.v_proj\.", ".value."),
        (r"\.out_proj\.", ".out."),
    )
)


def converted(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The released network's state as that of `FaceXFormer`; ValueError names tokens that are missing."""
    tokens = [f"face_decoder.{name}.weight" for name in _TOKENS]
    missing = [name for name in tokens if name not in released]
    if missing:
        raise ValueError(
            f"the checkpoint has no {', '.join(missing)}: give the released FaceXFormer's model.pt"
        )
    state = {"tokens": torch.cat([released[name] for name in tokens])}
    for name, tensor in released.items():
        if name in _UNUSED or name in tokens:
            continue
        for pattern, ours in _RENAMED:
            name = pattern.sub(ours, name)
        state[name] = tensor
    return state
