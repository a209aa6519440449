"""The paper's multi-head baseline (figure 1b): the same encoder, pooled, and a linear head for every task."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from training.models.encoder import TimmEncoder
from training.models.network import FaceNetwork
from training.tasks import Kind, Task

if TYPE_CHECKING:
    from training.models.config import QFaceConfig


class MultiHead(FaceNetwork):
    """Global average of the encoder's last stage, then one linear map to all logits.

    With a single task it is the task-specific baseline (figure 1a). Without the decoder it runs at more
    than twice the speed, which makes it the way to train an encoder first.
    """

    def __init__(self, *, config: "QFaceConfig", tasks: tuple[Task, ...], encoder: TimmEncoder) -> None:
        super().__init__(config=config, tasks=tasks, encoder=encoder)
        self.head = nn.Linear(encoder.channels[-1], sum(map(_numbers, tasks)))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """As QFace: RGB pixels 0..255 [B, S, S, 3] -> logits [B, queries] by task; points [B, K, 2]."""
        numbers = self.head(self.encoder(self.normalized(pixels))[-1].mean(dim=1))
        parts = numbers.split([_numbers(task) for task in self.tasks], dim=1)
        return {
            task.name: 0.5 + 0.1 * part.unflatten(1, (-1, 2)) if task.kind is Kind.POINTS else part
            for task, part in zip(self.tasks, parts, strict=True)
        }


def _numbers(task: Task) -> int:
    """How many numbers answer a task: one a query, two where a query is a point."""
    return task.queries * (2 if task.kind is Kind.POINTS else 1)
