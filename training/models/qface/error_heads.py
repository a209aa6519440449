"""Expected errors: how far each answer may be off, read off what its queries found.

A head is a small perceptron over the final features of its task's queries, which it leaves as they are: no
gradient goes back into them, so the answers are those of the same network without the head. It is fitted
by training.train.errors, after everything else.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.kinds.forms import ErrorForm
from training.models.qface.products import products

HIDDEN = 64
# An expected error is never 0: a share of it is divided by.
_LEAST = 1e-3


class ErrorHead(nn.Module):
    """Features [B, Q, D] of a task's queries -> expected absolute errors [B, K] in the error's unit, above 0.

    All queries go through the same hidden layer. Where each number has a query of its own (points), it is
    read off that query and the mean of all of them; else all numbers are read off all queries.
    """

    def __init__(self, *, form: ErrorForm, queries: int, width: int) -> None:
        super().__init__()
        self.each_its_own = form.numbers == queries
        self.hidden = nn.Linear(width, HIDDEN)
        seen = 2 * HIDDEN if self.each_its_own else queries * HIDDEN
        # About the error that is typical of the kind, whatever the face.
        self.weight = nn.Parameter(torch.randn(form.numbers, seen) * 0.1 * seen**-0.5)
        self.bias = nn.Parameter(torch.full((form.numbers,), _inverse_softplus(form.typical - _LEAST)))

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.gelu(self.hidden(features))
        if self.each_its_own:
            seen = torch.cat([hidden, hidden.mean(dim=1, keepdim=True).expand_as(hidden)], dim=2)
        else:
            seen = hidden.flatten(1).unsqueeze(1)
        return functional.softplus(products(seen * self.weight) + self.bias) + _LEAST


class ErrorHeads(nn.Module):
    """The heads of all tasks that have one. They stand still but while they are fitted."""

    def __init__(self, heads: Mapping[str, ErrorHead]) -> None:
        super().__init__()
        self.tasks = tuple(heads)
        self.by_task = nn.ModuleDict(heads)
        self.requires_grad_(False)

    def head(self, task: str) -> ErrorHead:
        """The head of one of `tasks`."""
        head = self.by_task[task]
        assert isinstance(head, ErrorHead)
        return head

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Query features [B, Q, D] by task -> expected errors [B, K] by task."""
        return {name: self.by_task[name](features[name].detach()) for name in self.tasks}


def _inverse_softplus(value: float) -> float:
    """The number whose softplus is `value`."""
    return math.log(math.expm1(value))  # in plain numbers: a network's shape is made without memory too
