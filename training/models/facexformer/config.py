"""What a FaceXFormer's shape depends on, and the configuration that has a name."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from runtime.image.crops import CROPS
from training.models.config import NetworkConfig
from training.tasks import FACEXFORMER_TASKS, select


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceXFormerConfig(NetworkConfig):
    """The released network's shape; smaller ones serve tests."""

    family: ClassVar[str] = "facexformer"

    name: str = "facexformer"
    encoder: str = "swin_base_patch4_window7_224"  # a timm model of four stages that begin at stride 4
    encoder_options: dict[str, Any] = dataclasses.field(default_factory=dict)  # more arguments for timm
    input_size: int = 224  # side of the square crop in pixels
    width: int = 256  # of fused features and tokens
    heads: int = 8  # attention heads in the decoder
    hidden: int = 2048  # of the decoder's feed-forward layers
    blocks: int = 2  # of the decoder
    drop_path: float = 0.0  # stochastic depth of the encoder
    tasks: tuple[str, ...] = FACEXFORMER_TASKS  # which answers are given; every head is there all the same
    crop: str = "box"  # how its faces are cut out (runtime.image.crops.CROPS): as those it learned from

    def __post_init__(self) -> None:
        if self.input_size % 32:
            raise ValueError(
                f"input_size {self.input_size} must be a multiple of 32, as Swin halves it five times"
            )
        if self.width % 16 or self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} must be a multiple of 16 and of twice the heads ({self.heads})"
            )
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path {self.drop_path} must be in [0, 1)")
        if self.crop not in CROPS:
            raise ValueError(f"crop {self.crop!r} is unknown: choose from {', '.join(CROPS)}")
        if not self.tasks:
            raise ValueError(f"{self.name} names no task: name at least one")
        foreign = [task.name for task in select(self.tasks) if task.name not in FACEXFORMER_TASKS]
        if foreign:
            raise ValueError(
                f"FaceXFormer has no head for {', '.join(foreign)}: "
                f"choose from {', '.join(FACEXFORMER_TASKS)}"
            )

    @property
    def face_crop(self) -> str:
        """The field of the same meaning."""
        return self.crop

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """The names of all tasks."""
        return tuple(self.tasks)

    def with_tasks(self, names: Sequence[str]) -> Self:
        """The same configuration with these tasks."""
        return dataclasses.replace(self, tasks=tuple(names))


CONFIGS: dict[str, FaceXFormerConfig] = {config.name: config for config in (FaceXFormerConfig(),)}
