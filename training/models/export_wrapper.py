"""From logits to physical values, inside the graph: what evaluation measured is what is served."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from training.models.resizing import resized
from training.tasks import CATALOGUE, Kind, Task

# A value's logit z means CENTER + SPREAD * z in the task's unit, so that z stays of order one.
VALUE_CENTER = 35.0
VALUE_SPREAD = 20.0


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """Gram-Schmidt (Zhou et al. 2019; Q-Face, section 4.6): [B, 6] -> rotation matrices [B, 3, 3].

    The numbers are offsets from the identity's first two columns, so that zeros mean a frontal face.
    """
    identity = numbers.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    a1, a2 = torch.unflatten(numbers + identity, 1, (2, 3)).unbind(1)
    b1 = a1 / _norm(a1)
    b2 = a2 - (b1 * a2).sum(-1, keepdim=True) * b1
    b2 = b2 / _norm(b2)
    # The cross product written out: exporters have no node for it.
    (x1, y1, z1), (x2, y2, z2) = b1.unbind(-1), b2.unbind(-1)
    b3 = torch.stack([y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2], dim=-1)
    return torch.stack([b1, b2, b3], dim=-1)


def _norm(vector: Tensor) -> Tensor:
    return (vector.square().sum(-1, keepdim=True) + 1e-12).sqrt()


def physical(task: Task, raw: Tensor, *, input_size: int) -> Tensor:
    """The values that a task's raw answers stand for, as `Kind` describes them.

    classes and multilabel: logits -> probabilities [B, K]; value: [B, 1] -> the task's unit; rotation:
    [B, 6] -> [B, 3, 3]; points: [B, K, 2] in crop sides -> x, y in the crop's pixels, where whole numbers
    are pixels' centres; mask: logits [B, K, h, w] -> the likeliest class of each pixel, uint8 [B, S, S].
    """
    match task.kind:
        case Kind.CLASSES:
            return torch.softmax(raw, dim=-1)
        case Kind.MULTILABEL:
            return torch.sigmoid(raw)
        case Kind.VALUE:
            return VALUE_CENTER + VALUE_SPREAD * raw
        case Kind.ROTATION:
            return rotation_from_6d(raw)
        case Kind.POINTS:
            return raw * input_size - 0.5
        case Kind.MASK:
            return resized(raw, (input_size, input_size)).argmax(dim=1).to(torch.uint8)
    raise ValueError(f"task {task.name!r}: nobody knows what its kind {task.kind!r} stands for")


class ExportWrapper(nn.Module):
    """The served network: pixels as they come in, the contract's answers as they go out."""

    def __init__(self, model: nn.Module, contract: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.entries = list(contract["tasks"])
        self.input_size = int(contract["input_size"])
        self.eval()

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """RGB pixels uint8 [B, S, S, 3] -> for each task of the contract its physical values."""
        raw = self.model(pixels).logits
        answers = {}
        for entry in self.entries:
            task = CATALOGUE[entry["name"]]
            values = physical(task, raw[task.name].float(), input_size=self.input_size)
            if len(entry["labels"]) != len(task.labels):
                kept = [task.labels.index(label) for label in entry["labels"]]
                values = values.index_select(1, torch.tensor(kept, device=values.device))
            answers[task.name] = values
        return answers
