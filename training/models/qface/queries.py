"""Learnable queries and what is read off them (Q-Face, section 3.3, equation 7)."""

from collections.abc import Collection, Sequence

import torch
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from training.kinds import kind_of
from training.kinds.forms import QueryAnswer
from training.models.network import LogitRows
from training.models.qface.pixel_decoder import PixelDecoder
from training.models.qface.products import products
from training.task_type import Task


class QueryGroup(nn.Module):
    """The queries of some tasks, one a label, and the linear map f of equation 7.

    f has a weight vector and a bias for each label, as in Query2Label, on which the paper's decoder
    rests. Two kinds of task that the paper does not have read more off a query: a point takes two numbers,
    its offset from the crop's middle in crop sides; a mask's class takes a vector, whose product with a
    place's features is the class's logit there.
    """

    def __init__(
        self,
        *,
        tasks: Sequence[Task],
        width: int,
        pixel_decoder: PixelDecoder | None,
        distributions: Collection[str] = (),
    ) -> None:
        """`distributions` are the tasks of whose queries a logit for each level is read (Task.levels)."""
        super().__init__()
        self.tasks = tuple(tasks)
        self._logits = {  # read off each query, where that are logits at all
            task.name: kind_of(task).levels(task) if task.name in distributions else 1 for task in tasks
        }
        count = {
            answer: sum(task.queries for task in tasks if kind_of(task).query_answer is answer)
            for answer in QueryAnswer
        }
        points = count[QueryAnswer.POINT]
        total = sum(count.values())
        self.queries = nn.Parameter(torch.randn(total, width) * 0.02)
        self.query_positions = nn.Parameter(torch.randn(total, width) * 0.02)
        scalars = sum(
            task.queries * self._logits[task.name]
            for task in tasks
            if kind_of(task).query_answer is QueryAnswer.NUMBER
        )
        self.weight = nn.Parameter(torch.randn(scalars, width) * width**-0.5) if scalars else None
        self.bias = nn.Parameter(torch.zeros(scalars)) if scalars else None
        # Points begin around the middle of the crop, not all over it.
        self.point_weight = (
            nn.Parameter(torch.randn(points, 2, width) * 0.1 * width**-0.5) if points else None
        )
        self.point_bias = nn.Parameter(torch.zeros(points, 2)) if points else None
        self.pixel_decoder = pixel_decoder
        self.mask_vector = Mlp(width, width, pixel_decoder.width) if pixel_decoder is not None else None

    def rows_by_task(self) -> dict[str, dict[str, slice]]:
        """By the name of each parameter that has rows of tasks: which rows are which task's."""
        numbers = {QueryAnswer.NUMBER: ("weight", "bias"), QueryAnswer.POINT: ("point_weight", "point_bias")}
        rows: dict[str, dict[str, slice]] = {}
        for task in self.tasks:
            read = task.queries * self._logits[task.name]
            names = [("queries", task.queries), ("query_positions", task.queries)]
            names += [(name, read) for name in numbers.get(kind_of(task).query_answer, ())]
            for name, count in names:
                before = rows.setdefault(name, {})
                first = max((part.stop for part in before.values()), default=0)
                before[task.name] = slice(first, first + count)
        return rows

    def logit_rows(self, task: Task) -> LogitRows | None:
        """The rows of `weight` and `bias` of one of its tasks; None for points and masks."""
        first = 0
        for other in self.tasks:
            scalar = kind_of(other).query_answer is QueryAnswer.NUMBER
            if other.name == task.name:
                if not scalar or self.weight is None or self.bias is None:
                    return None
                rows = slice(first, first + task.queries * self._logits[task.name])
                return LogitRows(weight=self.weight[rows], bias=self.bias[rows])
            first += other.queries * self._logits[other.name] if scalar else 0
        raise KeyError(task.name)

    def by_task(self, features: Tensor) -> dict[str, Tensor]:
        """Query features [B, N, D] -> those of each task's queries [B, queries, D]."""
        parts = torch.split(features, [task.queries for task in self.tasks], dim=1)
        return {task.name: part for task, part in zip(self.tasks, parts, strict=True)}

    def read(
        self, features: Tensor, *, places: Tensor | None, masked_rows: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Query features [B, N, D], and features of places [B, C, h, w] for masks -> raw answers by task.

        Points: [B, K, 2] in crop sides, 0..1 inside; masks: logits [B, K, h, w]; others: logits [B, queries].
        `masked_rows` are the indices [R] of the faces whose `places` [R, C, h, w] these are (None: all).
        """
        parts = self.by_task(features)
        scalars = [task for task in self.tasks if kind_of(task).query_answer is QueryAnswer.NUMBER]
        answers: dict[str, Tensor] = {}
        if self.weight is not None and self.bias is not None:
            row_of = self.rows_by_task()["weight"]
            single = [task for task in scalars if self._logits[task.name] == 1]
            if single:
                # One product for all of them; nothing is moved where there is no other kind.
                only = len(single) == len(self.tasks)
                chosen = features if only else torch.cat([parts[task.name] for task in single], dim=1)
                weight: Tensor = self.weight
                bias: Tensor = self.bias
                if len(single) < len(scalars):
                    weight = torch.cat([weight[row_of[task.name]] for task in single])
                    bias = torch.cat([bias[row_of[task.name]] for task in single])
                logits = products(chosen * weight) + bias
                split = torch.split(logits, [task.queries for task in single], dim=1)
                answers |= {task.name: part for task, part in zip(single, split, strict=True)}
            for task in scalars:
                if task not in single:  # the levels of a query are rows behind each other
                    levels = torch.unflatten(self.weight[row_of[task.name]], 0, (task.queries, -1))
                    logits = products(parts[task.name].unsqueeze(2) * levels).flatten(1)
                    answers[task.name] = logits + self.bias[row_of[task.name]]
        first = 0
        for task in self.tasks:
            answer = kind_of(task).query_answer
            if answer is QueryAnswer.POINT and self.point_weight is not None and self.point_bias is not None:
                rows = slice(first, first + task.queries)
                offsets = products(parts[task.name].unsqueeze(2) * self.point_weight[rows])
                answers[task.name] = 0.5 + offsets + self.point_bias[rows]
                first += task.queries
            elif answer is QueryAnswer.MAP and self.mask_vector is not None:
                assert places is not None
                queries = parts[task.name] if masked_rows is None else parts[task.name][masked_rows]
                # As it lies, torch would choose the product by whether the weights learn.
                vectors = self.mask_vector(queries.contiguous()) * places.shape[1] ** -0.5
                answers[task.name] = (vectors @ places.flatten(2)).unflatten(2, places.shape[2:])
        return {task.name: answers[task.name] for task in self.tasks}
