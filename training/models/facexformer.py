"""FaceXFormer: Swin-B, MLP fusion, and a two-way decoder with a token for each task.

Narayan, VS, Chellappa and Patel, "FaceXFormer: A Unified Transformer for Facial Analysis" (2024). The
network is that of the released checkpoint (91,985,943 parameters, 224 pixels), with every head answered
in one pass: its own forward picks rows by a task's number, which no engine with fixed shapes can do.
`training.convert_facexformer` brings the released weights here.
"""

import dataclasses
from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from training.models.attention import MultiHeadAttention
from training.models.network import PIXEL_MEAN, PIXEL_STD
from training.models.outputs import VALUE_CENTER, VALUE_SPREAD
from training.models.two_way import FourierPositions, TwoWayTransformer

# Where Swin's four stages end in torchvision's `features`.
_STAGES = (1, 3, 5, 7)

# Every head that has a token of its own, in the order of the tokens, with the numbers that it answers.
HEADS = {
    "landmarks": 136,  # x, y in [-1, 1] of 68 points
    "head_pose": 3,  # pitch, yaw, roll in radians
    "attributes": 40,
    "visibility": 29,  # logits of being occluded
    "age": 8,
    "gender": 2,
    "race": 5,
}
PARSING_CLASSES = 11


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceXFormerConfig:
    """The released network's shape; smaller ones serve tests."""

    name: str = "facexformer"
    input_size: int = 224  # side of the square crop in pixels
    encoder_width: int = 128  # of Swin's first stage; each further one is twice as wide
    encoder_depths: tuple[int, ...] = (2, 2, 18, 2)  # blocks of Swin's four stages
    width: int = 256  # of fused features and tokens
    heads: int = 8  # attention heads in the decoder
    hidden: int = 2048  # of the decoder's feed-forward layers
    blocks: int = 2  # of the decoder
    drop_path: float = 0.0  # stochastic depth of the encoder

    def __post_init__(self) -> None:
        if self.input_size % 32:
            raise ValueError(
                f"input_size {self.input_size} must be a multiple of 32, as Swin halves it five times"
            )
        if self.width % 16 or self.encoder_width % 32:
            raise ValueError(
                f"width {self.width} must be a multiple of 16, and encoder_width {self.encoder_width} of 32"
            )
        if len(self.encoder_depths) != len(_STAGES):
            raise ValueError(f"encoder_depths {self.encoder_depths} must name the blocks of four stages")


# The middle of each of age_group's ten years, with that of the open last one as the data sets have it.
_AGES = (5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 76.0)


def raw_answers(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the released heads say, in the catalogue's tasks and this project's conventions.

    Points go from [-1, 1] to crop sides; occluded becomes visible; age is the expectation over the age
    groups. Angles become a rotation by the released drawing of its axes: pitch, yaw and roll have
    runtime.pose's signs, and R = Rx(-pitch) @ Ry(-yaw) @ Rz(roll).
    """
    expected = torch.softmax(released["age"], dim=-1) @ released["age"].new_tensor(_AGES)
    pitch, yaw, roll = released["head_pose"].unbind(-1)
    return {
        "landmarks": (released["landmarks"].unflatten(1, (-1, 2)) + 1) / 2,
        "head_pose": _six_numbers(pitch, yaw, roll),
        "attributes": released["attributes"],
        "visibility": -released["visibility"],
        "age_group": released["age"],
        "age": ((expected - VALUE_CENTER) / VALUE_SPREAD).unsqueeze(-1),
        "gender": released["gender"],
        "race_utkface": released["race"],
        "parsing_lapa": released["parsing"],
    }


def _six_numbers(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """Angles [B] in radians -> the rotation's first two columns less the identity's [B, 6]."""
    cp, sp, cy, sy, cr, sr = (f(angle) for angle in (pitch, yaw, roll) for f in (torch.cos, torch.sin))
    first = [cy * cr - 1, cp * sr + sp * sy * cr, cp * sy * cr - sp * sr]
    second = [-cy * sr, cp * cr - sp * sy * sr - 1, -sp * cr - cp * sy * sr]
    return torch.stack([*first, *second], dim=-1)


class Perceptron(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, outputs)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., outputs]."""
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of maps [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FaceXFormer(nn.Module):
    """Pixels in, the raw answers of every head out."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: FaceXFormerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        swin = torchvision.models.SwinTransformer(
            patch_size=[4, 4],
            embed_dim=config.encoder_width,
            depths=list(config.encoder_depths),
            num_heads=[config.encoder_width // 32 * 2**i for i in range(len(_STAGES))],
            window_size=[7, 7],
            stochastic_depth_prob=config.drop_path,
        )
        self.encoder = swin.features
        self.projections = nn.ModuleList(
            nn.Linear(config.encoder_width * 2**i, width) for i in range(len(_STAGES))
        )
        self.fuse = nn.Conv2d(width * len(_STAGES), width, 1, bias=False)
        self.positions = FourierPositions(width, side=config.input_size // 4)
        self.tokens = nn.Parameter(torch.randn(len(HEADS) + PARSING_CLASSES, width) * 0.02)
        self.decoder = TwoWayTransformer(
            width, heads=config.heads, hidden=config.hidden, blocks=config.blocks
        )
        self.heads = nn.ModuleDict({name: Perceptron(width, outputs=count) for name, count in HEADS.items()})
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.mask_head = Perceptron(width, outputs=width // 8)
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """RGB pixels 0..255 [B, S, S, 3], uint8 or float -> raw answers by task, as `QFace` gives them."""
        released = self.released(((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2))
        return raw_answers(released)

    def released(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised images [B, 3, S, S] -> by head its numbers [B, n]; parsing logits [B, 11, S, S]."""
        features = self.fused(images)
        side = features.shape[-1]
        tokens, flat = self.decoder(
            self.tokens.expand(images.shape[0], -1, -1),
            features.flatten(2).transpose(1, 2),
            feature_positions=self.positions(),
        )
        released = {name: head(tokens[:, i]) for i, (name, head) in enumerate(self.heads.items())}
        maps = self.upscale(flat.transpose(1, 2).unflatten(2, (side, side)))
        classes = self.mask_head(tokens[:, len(HEADS) :])
        released["parsing"] = (classes @ maps.flatten(2)).unflatten(2, maps.shape[2:])
        return released

    def fused(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, S, S] -> all stages as one map [B, width, S/4, S/4], deepest first."""
        side = images.shape[-1] // 4
        stages = []
        x = images
        for i, layer in enumerate(self.encoder):
            x = layer(x)
            if i in _STAGES:
                stages.append(x)  # [B, H, W, C]
        maps = []
        for projection, stage in zip(self.projections, stages, strict=True):
            projected = projection(stage).permute(0, 3, 1, 2)
            if projected.shape[-1] != side:
                projected = functional.interpolate(
                    projected, size=(side, side), mode="bilinear", align_corners=False
                )
            maps.append(projected)
        return self.fuse(torch.cat(maps[::-1], dim=1))

    def set_explicit_attention(self, explicit: bool = True) -> None:
        """The decoder's attention from single operations, for export; or fused."""
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                module.explicit = explicit
