"""The losses of tasks, by name. The loss functions are in training.kinds, with the kind that they are for.

Every loss is a sum over faces divided by how much of the batch is labelled. The two parts are computed one
by one, so that several processes can add theirs up and get what one process would have got. Faces without
a label add nothing.

Beyond the paper (sections 3.3 and 4): wing (Feng et al. 2018) for points; Dice (Milletari et al. 2016) with
cross-entropy for masks, or cross-entropy alone.
"""

from torch import Tensor

from training.kinds import kind_of, kinds
from training.kinds.forms import Loss
from training.task_type import Task


def known(task: Task, target: Tensor, confidence: Tensor | None = None, *, loss: str | None = None) -> Tensor:
    """How much each face of a batch counts, [B]: its known labels times its `confidence` [B].

    It is the divisor of `loss_sum` that makes a mean of it.
    """
    counts = loss_of(task, loss).count(target)
    return counts if confidence is None else counts * confidence


def loss_sum(
    task: Task, raw: Tensor, target: Tensor, *, confidence: Tensor | None = None, loss: str | None = None
) -> Tensor:
    """The loss of one task summed over faces and their known labels, weighted by `confidence` [B].

    `raw` is the network's answer (QFace.forward), and `target` by kind, NaN where unknown:

    classes: probabilities [B, K]
    multilabel: [B, K] in [0, 1]
    value: an interval [B, 2] in the task's unit, both ends equal for an exact value
    rotation: [B, 3, 3]
    points: [B, K, 2] in crop sides
    mask: class ids uint8 [B, S, S], 255 where unknown

    `loss` names another loss than the task's own.
    """
    per_face = loss_of(task, loss).sum(task, raw.float(), target)
    return (per_face if confidence is None else per_face * confidence).sum()


def loss_of(task: Task, name: str | None = None) -> Loss:
    """A task's loss, or another one by name; ValueError if it is unknown or for another kind of task."""
    name = name or task.loss
    fitting = kind_of(task).losses
    if name in fitting:
        return fitting[name]
    others = {loss: kind.name for kind in kinds().values() for loss in kind.losses}
    if name in others:
        raise ValueError(
            f"the loss {name!r} is for {others[name]}, and task {task.name!r} is {task.kind}: "
            f"choose from {', '.join(fitting)}"
        )
    raise ValueError(f"task {task.name!r} has the unknown loss {name!r}: choose from {', '.join(others)}")
