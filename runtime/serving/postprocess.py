"""The step behind the engine: heads -> the answers of one task, or of all (the same code)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.kinds.base import text_tensor
from runtime.postprocess import CONTRACT_TENSOR, Postprocessor
from runtime.serving.base import Answer, ServedModel, input_tensors

_MAP = "crop_to_photo"
_SIZE = "photo_size"


class Postprocess(ServedModel):
    """Heads [B, ...] and, where a kind needs them, crop_to_photo [B, 2, 3] and photo_size [B, 2] ->
    answers and contract."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Parses the contract."""
        super().initialize(args)
        contract = self.parse_contract()
        self.postprocessor = Postprocessor(contract)
        self.contract_hash = text_tensor([contract.hash])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order; the faces of all are answered at once."""
        return self.respond_together(requests, self.answers)

    def answers(self, requests: Sequence[Any]) -> list[Answer]:
        """For each request the answer tensors of its B faces, as their kinds define them (`runtime.kinds`);
        those that all requests name, or more."""
        inputs = [input_tensors(request) for request in requests]
        requested = {name for request in requests for name in request.requested_output_names()}
        heads = self.postprocessor.heads_for(requested)
        needed = [name for name in self.inputs if name in heads or name in (_MAP, _SIZE)]
        rows = {name: np.concatenate([tensors[name].as_numpy() for tensors in inputs]) for name in needed}
        maps, sizes = rows.pop(_MAP, None), rows.pop(_SIZE, None)
        answers = self.postprocessor.answers(rows, maps, photo_size=sizes, requested=requested)
        counts = [tensors[self.inputs[0]].as_numpy().shape[0] for tensors in inputs]
        answers[CONTRACT_TENSOR] = np.repeat(self.contract_hash, sum(counts), axis=0)
        ends = list(itertools.accumulate(counts, initial=0))
        return [
            {name: values[start:end] for name, values in answers.items()}
            for start, end in itertools.pairwise(ends)
        ]
