"""From logits to physical values, inside the graph: what evaluation measured is what is served."""

import torch
from torch import Tensor

from runtime.contract import Contract
from training.kinds import kind_of
from training.models.network import FaceNetwork, ModelOutput, check_contract
from training.task_type import Task


def physical(task: Task, raw: Tensor, *, input_size: int) -> Tensor:
    """The values that a task's raw answers stand for (the `physical` of its kind).

    classes and multilabel: logits -> probabilities [B, K]; value: [B, 1] -> the task's unit; rotation:
    [B, 6] -> [B, 3, 3]; points: [B, K, 2] in crop sides -> x, y in the crop's pixels, where whole numbers
    are pixels' centres; mask: logits [B, K, h, w] -> the likeliest class of each pixel, uint8 [B, S, S].
    """
    return kind_of(task).physical(task, raw, input_size=input_size)


class ExportWrapper(torch.nn.Module):
    """The served network: pixels as they come in, the contract's answers as they go out.

    What raw answers stand for is read from the network's own tasks, which come from its checkpoint.
    """

    def __init__(self, model: FaceNetwork, contract: Contract) -> None:
        super().__init__()
        self.model = model
        self.tasks = {task.name: task for task in model.tasks}
        self.contract = contract
        check_contract(model, contract)
        self.eval()

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """RGB pixels uint8 [B, S, S, 3] -> for each task of the contract its physical values.

        Behind those of a task T with an expected error in the contract, as T_error, these: [B, numbers]. They
        are all heads of the contract in its order (runtime.heads).
        """
        output: ModelOutput = self.model(pixels)
        raw, answers = output.logits, {}
        for entry in self.contract.tasks:
            task = self.tasks[entry.name]
            values = physical(task, raw[task.name].float(), input_size=self.contract.input_size)
            if len(entry.labels) != len(task.labels):
                kept = [task.labels.index(label) for label in entry.labels]
                values = values.index_select(1, torch.tensor(kept, device=values.device))
            answers[task.name] = values
            if entry.error_output is not None:
                answers[entry.error_output] = output.errors[entry.name].float()
        return answers
