"""The step behind the engine: heads -> the answers of one task, or of all (the same code)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.answering.batches import Answer
from runtime.answering.heads import HeadAnswers
from runtime.serving.base import ServedModel, input_tensors


class Postprocess(ServedModel):
    """Heads [B, ...] and, where a kind needs them, crop_to_photo [B, 2, 3] and photo_size [B, 2] ->
    answers and contract."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Parses the contract."""
        super().initialize(args)
        self.heads = HeadAnswers(self.parse_contract())

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order; the faces of all are answered at once."""
        return self.respond_together(requests, self.answers)

    def answers(self, requests: Sequence[Any]) -> list[Answer]:
        """For each request the answer tensors of its B faces, as their kinds define them (`runtime.kinds`);
        those that all requests name, or more."""
        inputs = [input_tensors(request) for request in requests]
        requested = {name for request in requests for name in request.requested_output_names()}
        needed = set(self.heads.needed(requested)) & set(self.inputs)
        rows = {name: np.concatenate([tensors[name].as_numpy() for tensors in inputs]) for name in needed}
        counts = [tensors[self.inputs[0]].as_numpy().shape[0] for tensors in inputs]
        answers = self.heads.answers(rows, rows=sum(counts), requested=requested)
        ends = list(itertools.accumulate(counts, initial=0))
        return [
            {name: values[start:end] for name, values in answers.items()}
            for start, end in itertools.pairwise(ends)
        ]
