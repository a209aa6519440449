"""A network on the CPU: the requests that Triton put together run as one inference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.answering.batches import Answer
from runtime.engines import Engine, load_engine
from runtime.serving.base import ServedModel, response, tensor


class FaceEngine(ServedModel):
    """pixels [B, S, S, 3] uint8 -> one head a task, as the ONNX graph gives them."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the network; the parameters name the file, what runs it and how."""
        super().initialize(args)
        self.engine = self.load()

    def load(self) -> Engine:
        """The loaded network."""
        return load_engine(self.directory, self.parameters)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order, from one inference over all of them."""
        try:
            with self.spans.together(requests):
                return self._together(requests)
        except Exception as error:
            if len(requests) == 1:
                return [self.failure(error)]
        # Whatever broke the batch, only the requests that cause it may fail.
        return [self.respond(request, self._alone) for request in requests]

    def _together(self, requests: Sequence[Any]) -> list[Any]:
        (name,) = self.inputs
        rows = [tensor(request, name) for request in requests]
        requested = {output for request in requests for output in request.requested_output_names()}
        outputs = self.engine.infer(
            {name: np.concatenate(rows)}, outputs=[o for o in self.outputs if o in requested]
        )
        ends = np.cumsum([len(part) for part in rows])[:-1]
        parts = {output: np.split(values, ends) for output, values in outputs.items()}
        return [
            response(request, {output: parts[output][i] for output in parts})
            for i, request in enumerate(requests)
        ]

    def _alone(self, request: Any) -> Answer:
        (name,) = self.inputs
        # A copy: the engine may keep what it gets until its next call, the request's memory is the backend's.
        return self.engine.infer({name: tensor(request, name).copy()})
