"""The paper's multi-head baseline (figure 1b): the same encoder, pooled, and a linear head for every task."""

from torch import Tensor, nn

from training.kinds import kind_of
from training.models.encoder import TimmEncoder
from training.models.network import FaceNetwork, ModelOutput
from training.models.qface.config import QFaceConfig
from training.task_type import Task


class MultiHead(FaceNetwork):
    """Global average of the encoder's last stage, then one linear map to all logits.

    With a single task it is the task-specific baseline (figure 1a). Without the decoder it runs at more
    than twice the speed, which makes it the way to train an encoder first.
    """

    def __init__(self, *, config: QFaceConfig, tasks: tuple[Task, ...], encoder: TimmEncoder) -> None:
        super().__init__(config=config, tasks=tasks, encoder=encoder)
        self.numbers = [
            kind_of(task).levels(task)
            if task.name in config.distributions
            else kind_of(task).pooled_numbers(task)
            for task in tasks
        ]
        self.head = nn.Linear(encoder.channels[-1], sum(self.numbers))

    def forward(self, pixels: Tensor, *, masked_rows: Tensor | None = None) -> ModelOutput:
        """As any network's; it has no masks."""
        features = self.encoder(self.normalized(pixels)).stages[-1]
        numbers = self.head(features.mean(dim=1))
        parts = numbers.split(self.numbers, dim=1)
        logits = {
            task.name: kind_of(task).from_pooled(part) for task, part in zip(self.tasks, parts, strict=True)
        }
        return ModelOutput(logits=logits, features=features, shared=features)
