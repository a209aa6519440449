"""FaceXFormer: Swin-B, MLP fusion, and a two-way decoder with a token for each task.

Narayan, VS, Chellappa and Patel, "FaceXFormer: A Unified Transformer for Facial Analysis" (2024). The
network is that of the released checkpoint (91,985,943 parameters, 224 pixels), with every head answered
in one pass: its own forward picks rows by a task's number, which no engine with fixed shapes can do.
`training.models.facexformer.convert` brings the released weights here.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from runtime.contract import Contract
from training.contract import make_contract
from training.models.encoder import TimmEncoder
from training.models.facexformer.config import FaceXFormerConfig
from training.models.facexformer.two_way_transformer import FourierPositions, TwoWayTransformer
from training.models.network import FaceNetwork, ModelOutput
from training.models.resizing import resized
from training.task_type import Task
from training.tasks import CATALOGUE, select

_STAGES = (0, 1, 2, 3)

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


# The middle of each of age_group's ten years, with that of the open last one as the data sets have it.
_AGES = (5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 76.0)


def raw_answers(released: Mapping[str, Tensor], *, age: Task | None = None) -> dict[str, Tensor]:
    """What the released heads give, in the catalogue's tasks and this project's conventions.

    Points go from [-1, 1] to crop sides; occluded becomes visible; age is the expectation over the age
    groups. Angles become a rotation by the released drawing of its axes: pitch, yaw and roll have
    runtime.pose's signs, and R = Rx(-pitch) @ Ry(-yaw) @ Rz(roll). `age` is the task as the network
    has it (None: the catalogue's).
    """
    age = age or CATALOGUE["age"]
    expected = torch.softmax(released["age"], dim=-1) @ released["age"].new_tensor(_AGES)
    pitch, yaw, roll = released["head_pose"].unbind(-1)
    return {
        "landmarks": (torch.unflatten(released["landmarks"], 1, (-1, 2)) + 1) / 2,
        "head_pose": _six_numbers(pitch, yaw, roll),
        "attributes": released["attributes"],
        "visibility": -released["visibility"],
        "age_group": released["age"],
        "age": ((expected - age.center) / age.spread).unsqueeze(-1),
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
        out: Tensor = self.layers[-1](x)
        return out


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of maps [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        normed: Tensor = self.norm(maps.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class FaceXFormer(FaceNetwork):
    """Pixels in, the raw answers of every head out."""

    config: FaceXFormerConfig

    def __init__(self, config: FaceXFormerConfig) -> None:
        encoder = TimmEncoder(
            config.encoder,
            input_size=config.input_size,
            stages=_STAGES,
            drop_path=config.drop_path,
            options=config.encoder_options,
        )
        super().__init__(config=config, tasks=select(config.tasks), encoder=encoder)
        width = config.width
        self.projections = nn.ModuleList(nn.Linear(channels, width) for channels in encoder.channels)
        self.fuse = nn.Conv2d(width * len(_STAGES), width, 1, bias=False)
        self.positions = FourierPositions(width, side=encoder.grids[0][0])
        self.tokens = nn.Parameter(torch.randn(len(HEADS) + PARSING_CLASSES, width))
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

    def contract(self, *, trained: Mapping[str, Sequence[str]] | None = None) -> Contract:
        """As any network's, with the crop of its configuration."""
        return make_contract(
            self.tasks,
            input_size=self.config.input_size,
            trained=trained,
            crop=self.config.crop,
        )

    def forward(self, pixels: Tensor, *, masked_rows: Tensor | None = None) -> ModelOutput:
        """As any network's; masks are always of all faces."""
        stages = self.encoder(self.normalized(pixels)).stages
        age = next((task for task in self.tasks if task.name == "age"), None)
        answers = raw_answers(self._heads(stages), age=age)
        return ModelOutput(logits={task.name: answers[task.name] for task in self.tasks}, features=stages[-1])

    def released(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised images [B, 3, S, S] -> by head its numbers [B, n]; parsing logits [B, 11, S, S]."""
        return self._heads(self.encoder(images).stages)

    def fused(self, stages: Sequence[Tensor]) -> Tensor:
        """The encoder's stages as one map [B, width, S/4, S/4], deepest first."""
        grids = self.encoder.grids
        maps = []
        for projection, stage, grid in zip(self.projections, stages, grids, strict=True):
            projected = projection(stage).transpose(1, 2).unflatten(2, grid)
            maps.append(projected if grid == grids[0] else resized(projected, grids[0]))
        fused: Tensor = self.fuse(torch.cat(maps[::-1], dim=1))
        return fused

    def _heads(self, stages: Sequence[Tensor]) -> dict[str, Tensor]:
        features = self.fused(stages)
        tokens, flat = self.decoder(
            self.tokens[None],  # the same for every face: what they do before they meet one is done once
            features.flatten(2).transpose(1, 2),
            feature_positions=self.positions(),
        )
        released = {name: head(tokens[:, i]) for i, (name, head) in enumerate(self.heads.items())}
        maps = self.upscale(flat.transpose(1, 2).unflatten(2, features.shape[2:]))
        classes = self.mask_head(tokens[:, len(HEADS) :])
        released["parsing"] = (classes @ maps.flatten(2)).unflatten(2, maps.shape[2:])
        return released
