"""What a Q-Face's shape depends on, and the configurations that have a name.

Sun, He, Shan, Han and Chen, "Task-adaptive Q-Face". `qface_base` is the paper's (ViT-B/16 at 224 pixels,
width 1024); `qface_tiny` is the larger one that ships, and answers all ten tasks with 191 queries, as
`qface_base_all` does. The paper's baselines and ablations (table 5) are made by `dataclasses.replace`:

    multi-head       head="pooled"
    task-specific    head="pooled", tasks=("age",)
    without fusion   stages=config.stages[-1:], fusion_block=False
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from training.kinds import kind_of
from training.models.config import NetworkConfig
from training.plain_data import ADDED_LATER
from training.tasks import QFACE_TASKS, TEN_TASKS, Task, select

HEADS = ("queries", "pooled")


@dataclasses.dataclass(frozen=True, kw_only=True)
class QFaceConfig(NetworkConfig):
    """Everything that the network's shape depends on."""

    family: ClassVar[str] = "qface"

    name: str
    encoder: str  # a timm model with intermediate features
    input_size: int  # side of the square crop in pixels
    stages: tuple[int, ...]  # which of the encoder's blocks or stages are fused, from 0 as timm counts
    width: int  # of fused features and queries
    heads: int  # attention heads in fusion and decoder (not in the paper)
    mlp_ratio: float = 4.0  # hidden width of feed-forward layers over `width` (not in the paper)
    decoder_blocks: int = 2  # section 3.3
    drop_path: float = 0.0  # stochastic depth; the paper fine-tunes with 0.2
    tasks: tuple[str, ...] = QFACE_TASKS
    encoder_options: dict[str, Any] = dataclasses.field(default_factory=dict)  # more arguments for timm
    head: str = "queries"  # or "pooled": the multi-head baseline, a linear map of the last stage's average
    fusion_block: bool = True  # the transformer block of equation 3; without it stages only lie side by side
    final_norm: bool = True  # a LayerNorm between the decoder and equation 7 (not in the paper)
    mask_width: int = 64  # channels of the features that masks are made of (no masks in the paper)
    mask_laterals: tuple[int, ...] = ()  # the encoder's finer stages for masks; (): the picture itself
    # Tasks answered by the mean of a distribution over Task.levels.
    distributions: tuple[str, ...] = dataclasses.field(default=(), metadata={ADDED_LATER: True})
    extensions: tuple[tuple[str, ...], ...] = ()  # tasks learned later, each time with all before it frozen
    # Tasks that also answer how far they may be off (training.train.errors).
    errors: tuple[str, ...] = dataclasses.field(default=(), metadata={ADDED_LATER: True})

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of heads ({self.heads})")
        if not self.stages or list(self.stages) != sorted(set(self.stages)):
            raise ValueError(f"stages {self.stages} must be increasing and not empty")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path {self.drop_path} must be in [0, 1)")
        if self.mask_width < 2 or self.mask_width % 2:
            raise ValueError(f"mask_width {self.mask_width} must be an even number of channels")
        if list(self.mask_laterals) != sorted(set(self.mask_laterals)):
            raise ValueError(f"mask_laterals {self.mask_laterals} must be increasing")
        if self.head not in HEADS:
            raise ValueError(f"head {self.head!r} is unknown: choose from {', '.join(HEADS)}")
        if not self.tasks or not all(self.extensions):
            raise ValueError(f"{self.name} names no task, or an extension without one: name at least one")
        tasks = select(self.all_tasks)
        self._check_errors(tasks)
        without = [t.name for t in tasks if t.name in self.distributions and not kind_of(t).levels(t)]
        if without:
            raise ValueError(f"distributions names {', '.join(without)}, which has no levels: leave it out")
        if self.head == "pooled":
            if self.extensions:
                raise ValueError('head "pooled" can\'t be extended: it has no queries; use head "queries"')
            masks = [task.name for task in tasks if kind_of(task).needs_places]
            if masks:
                raise ValueError(
                    f'head "pooled" can\'t answer {", ".join(masks)}: a mask needs places, which an average '
                    'over them has lost; leave it out of tasks, or use head "queries"'
                )

    def _check_errors(self, tasks: Sequence[Task]) -> None:
        if self.errors and self.head == "pooled":
            raise ValueError(
                'head "pooled" can\'t state how far answers may be off, for it has no queries: leave errors '
                'out, or use head "queries"'
            )
        if len(set(self.errors)) != len(self.errors):
            raise ValueError(f"errors names a task twice: {', '.join(self.errors)}")
        have = [
            task.name
            for task in tasks
            if kind_of(task).error_form(task, input_size=self.input_size) is not None
        ]
        if unknown := [name for name in self.errors if name not in have]:
            raise ValueError(
                f"errors names {', '.join(unknown)}, of which {self.name} can't state how far it may be off: "
                f"choose from {', '.join(have) or 'none'}"
            )

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """The names of all tasks, those of the extensions behind the first ones."""
        return sum(self.extensions, tuple(self.tasks))

    def with_tasks(self, names: Sequence[str]) -> Self:
        """The same configuration with these first tasks, and the errors of those that are left."""
        left = {*names, *(name for extension in self.extensions for name in extension)}
        errors = tuple(name for name in self.errors if name in left)
        return dataclasses.replace(self, tasks=tuple(names), errors=errors)

    @property
    def groups(self) -> tuple[tuple[Task, ...], ...]:
        """The tasks whose queries were learned together: the first ones, then each extension's."""
        return tuple(select(names) for names in (self.tasks, *self.extensions))


_BASE = QFaceConfig(
    name="qface_base",
    encoder="vit_base_patch16_224",
    input_size=224,
    stages=(3, 7, 11),
    width=1024,
    heads=16,
    drop_path=0.2,
)
# A convolutional encoder learns more from the tens of thousands of faces at hand than a plain ViT does.
# Stages of stride 8, 16 and 32 take the place of blocks 4, 8 and 12. The last two are narrower than a
# ResNet-18's: 16 and 49 places that wide would take most of the parameters.
_TINY = QFaceConfig(
    name="qface_tiny",
    encoder="resnet18d",
    input_size=112,
    stages=(2, 3, 4),
    width=192,
    heads=6,
    tasks=TEN_TASKS,
    mask_laterals=(0, 1),
    distributions=("age",),
    encoder_options={"channels": (64, 128, 256, 256)},
)

CONFIGS: dict[str, QFaceConfig] = {
    config.name: config
    for config in (
        _BASE,
        dataclasses.replace(_BASE, name="qface_base_all", tasks=TEN_TASKS, mask_width=128),
        _TINY,
        # What needs no set for research only: FairFace and renders have no attributes.
        dataclasses.replace(
            _TINY,
            name="qface_tiny_open",
            encoder_options={"channels": (48, 96, 128, 128)},
            width=128,
            heads=4,
            mlp_ratio=3.0,
            mask_width=48,
            tasks=tuple(task for task in TEN_TASKS if task != "attributes"),
        ),
        # All ten tasks at a third of the tiny one's cost, for a first training of one's own.
        dataclasses.replace(
            _TINY,
            name="qface_quick",
            encoder="resnet10t",
            encoder_options={"zero_init_last": False},  # one block a stage: each has to work from the start
            input_size=64,
            width=96,
            heads=4,
            mask_width=48,
        ),
        # For tests and first tries: it learns 64 faces by heart in seconds.
        QFaceConfig(
            name="qface_test",
            encoder="vit_tiny_patch16_224",
            input_size=64,
            stages=(1, 2, 3),
            width=64,
            heads=4,
            tasks=TEN_TASKS,
            encoder_options={"patch_size": 8, "depth": 4, "embed_dim": 96, "num_heads": 3},
            mask_width=32,
        ),
    )
}
