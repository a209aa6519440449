"""The step behind the engine: heads -> the answers of one task, or of all (the same code)."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.kinds.base import text_tensor
from runtime.postprocess import CONTRACT_TENSOR, heads_for, postprocess_all
from runtime.serving.base import Answer, ServedModel, tensor

_MAP = "crop_to_photo"
_SIZE = "photo_size"


class Postprocess(ServedModel):
    """Heads [B, ...] and, where a kind needs them, crop_to_photo [B, 2, 3] and photo_size [B, 2] ->
    answers and contract."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Parses the contract."""
        super().initialize(args)
        self.contract = self.parse_contract()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """The requested answer tensors of B faces, as their kinds define them (`runtime.kinds`)."""
        requested = request.requested_output_names()
        needed = heads_for(self.contract, requested)
        heads = {name: tensor(request, name) for name in self.inputs if name in needed}
        maps = tensor(request, _MAP) if _MAP in self.inputs else None
        sizes = tensor(request, _SIZE) if _SIZE in self.inputs else None
        faces = len(tensor(request, self.inputs[0]))
        answers = postprocess_all(self.contract, heads, maps, photo_size=sizes, requested=requested)
        return answers | {CONTRACT_TENSOR: text_tensor([self.contract.hash] * faces)}
