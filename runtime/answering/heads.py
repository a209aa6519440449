"""The heads of faces, row by row -> their answers."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.answering.batches import Answer
from runtime.contract import Contract
from runtime.kinds.base import text_tensor
from runtime.postprocess import CONTRACT_TENSOR, Postprocessor

_MAP, _SIZE = "crop_to_photo", "photo_size"


class HeadAnswers:
    """Heads [B, ...] and, where a kind needs them, crop_to_photo [B, 2, 3] and photo_size [B, 2] ->
    answers and contract."""

    def __init__(self, contract: Contract) -> None:
        self._postprocessor = Postprocessor(contract)
        self._contract_hash = text_tensor([contract.hash])

    def needed(self, requested: Collection[str]) -> tuple[str, ...]:
        """The names of the tensors that `answers` takes for these outputs."""
        return (*self.heads_for(requested), _MAP, _SIZE)

    def heads_for(self, requested: Collection[str]) -> list[str]:
        """The heads from which these outputs are made."""
        return self._postprocessor.heads_for(requested)

    def answers(
        self, tensors: Mapping[str, NDArray[Any]], *, rows: int, requested: Collection[str]
    ) -> Answer:
        """The answers of B = `rows` faces [B, ...], as their kinds define them (`runtime.kinds`): the
        requested ones, or more."""
        heads = {name: values for name, values in tensors.items() if name not in (_MAP, _SIZE)}
        answers = self._postprocessor.answers(
            heads, tensors.get(_MAP), photo_size=tensors.get(_SIZE), requested=requested
        )
        answers[CONTRACT_TENSOR] = np.repeat(self._contract_hash, rows, axis=0)
        return answers
