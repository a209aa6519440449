"""The paper's multi-head baseline (figure 1b): the same encoder, pooled, and a linear head for every task."""

from torch import Tensor, nn

from training.models.qface import QFace


class MultiHead(nn.Module):
    """Global average of the encoder's last stage, then one linear map to all logits.

    It shares the encoder of the Q-Face that it is made from: training one trains the other's. Without
    the decoder it runs at more than twice the speed, which makes it the way to train an encoder first.
    """

    def __init__(self, qface: QFace) -> None:
        super().__init__()
        self.normalized = qface.normalized
        self.encoder = qface.encoder
        self.tasks = qface.tasks
        self.head = nn.Linear(qface.encoder.channels[-1], sum(task.queries for task in qface.tasks))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """As QFace: RGB pixels 0..255 [B, S, S, 3] -> logits [B, queries] a task, by name."""
        logits = self.head(self.encoder(self.normalized(pixels))[-1].mean(dim=1))
        parts = logits.split([task.queries for task in self.tasks], dim=1)
        return {task.name: part for task, part in zip(self.tasks, parts, strict=True)}
