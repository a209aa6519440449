"""What every served Python model shares: its configuration, tensors in and out, and how it fails.

A request that can't be answered gets its own error, in one sentence; the others of its batch are
answered, and the process lives on. What the sender can correct is INVALID_ARGUMENT, what comes of memory
that ran out UNAVAILABLE; anything else is INTERNAL. All but the sender's mistakes are in the server's log.
"""

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import threadpoolctl
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from runtime.answering.batches import Answer, in_batches
from runtime.contract import Contract
from runtime.errors import InvalidInput
from runtime.memory import lacks_memory
from runtime.serving.step_spans import StepSpans


class Refused(Exception):
    """Another model of this server, called for an answer, answered with an error."""

    def __init__(self, model: str, error: Any) -> None:
        super().__init__(f"{model} did not answer: {error.message()}")
        self.code = error.code()


class ServedModel:
    """A model of the Python backend; subclasses define how one request is answered."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the model's configuration; the backend calls it once."""
        # Triton runs several instances side by side: more threads in each would only stand in line.
        cv2.setNumThreads(1)
        # OpenBLAS's own threads, once a matrix product has woken them, spin on for milliseconds and take the
        # cores from other work.
        threadpoolctl.threadpool_limits(limits=1, user_api="blas")
        config = json.loads(args["model_config"])
        self.name: str = config["name"]
        self.spans = StepSpans(self.name)
        self.inputs: list[str] = [tensor["name"] for tensor in config["input"]]
        self.outputs: list[str] = [tensor["name"] for tensor in config["output"]]
        self.parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.directory = Path(args["model_repository"]) / args["model_version"]

    def parse_contract(self) -> Contract:
        """What this model's answers mean. Parsing costs more than an answer: do it once."""
        return Contract.parse(self.parameters["contract"])

    def respond(self, request: Any, answer: Callable[[Any], Answer]) -> Any:
        """`answer(request)` as a response, or the error that it ended in."""
        with self.spans.step(request):
            try:
                return response(request, answer(request))
            except Exception as error:
                self.spans.failed(error)
                return self.failure(error)

    def respond_together(
        self, requests: Sequence[Any], answer: Callable[[Sequence[Any]], Sequence[Answer]]
    ) -> list[Any]:
        """A response a request, of what `answer` computes for all of them at once.

        Where that fails each is answered alone: only the requests that cause it may fail.
        """
        try:
            with self.spans.together(requests):
                return [response(*each) for each in zip(requests, answer(requests), strict=True)]
        except Exception as error:
            if len(requests) == 1:
                return [self.failure(error)]
        return [each for request in requests for each in self.respond_together([request], answer)]

    def failure(self, error: Exception) -> Any:
        """The response to a request that ended in an exception."""
        if isinstance(error, InvalidInput):
            return _error(str(error), pb_utils.TritonError.INVALID_ARG)
        if isinstance(error, Refused):
            return _error(str(error), error.code)
        if lacks_memory(error):  # without a traceback, which would need some
            pb_utils.Logger.log_error(f"{self.name} has no memory left: {error}")
            return _error(
                f"{self.name} has no memory left for this request: send it again in a moment",
                pb_utils.TritonError.UNAVAILABLE,
            )
        pb_utils.Logger.log_error(f"{self.name}: {''.join(traceback.format_exception(error))}")
        return _error(
            f"{self.name} failed on this request ({_full_name(error)}): its log has the reason",
            pb_utils.TritonError.INTERNAL,
        )


def tensor(request: Any, name: str) -> NDArray[Any]:
    """An input of a request."""
    values: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return values


def input_tensors(request: Any) -> dict[str, Any]:
    """The inputs of a request by name, as the backend's tensors."""
    return {tensor.name(): tensor for tensor in request.inputs()}


def response(request: Any, answer: Mapping[str, NDArray[Any]]) -> Any:
    """A response with those tensors of an answer that the request names."""
    requested = set(request.requested_output_names())
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor(name, values if values.flags.c_contiguous else np.ascontiguousarray(values))
            for name, values in answer.items()
            if name in requested
        ]
    )


def infer(
    model: str,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    *,
    parameters: Mapping[str, str] | None = None,
) -> Answer:
    """The outputs of another model of this server; raises Refused when it answers with an error.

    `parameters` are the request's, those of `StepSpans.parameters` for instance.
    """
    return _outputs(model, _request(model, inputs, outputs, parameters).exec(), outputs)


async def infer_async(model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> Answer:
    """What `infer` gives, while other calls of the same process wait for theirs; it costs more."""
    return _outputs(model, await _request(model, inputs, outputs).async_exec(), outputs)


def infer_in_batches(
    model: str,
    name: str,
    rows: NDArray[Any],
    outputs: Sequence[str],
    *,
    max_batch: int,
    parameters: Mapping[str, str] | None = None,
) -> Answer:
    """What `runtime.answering.batches.in_batches` gives, of another model of this server."""
    return in_batches(
        lambda part: infer(model, {name: part}, outputs, parameters=parameters),
        rows,
        outputs,
        max_batch=max_batch,
    )


def _request(
    model: str,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    parameters: Mapping[str, str] | None = None,
) -> Any:
    return pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(values)) for name, values in inputs.items()],
        # A GPU engine's answers would else stay in its memory, where as_numpy() can't read them.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        **({} if parameters is None else {"parameters": dict(parameters)}),
    )


def _outputs(model: str, inferred: Any, names: Sequence[str]) -> Answer:
    if inferred.has_error():
        raise Refused(model, inferred.error())
    tensors = {tensor.name(): tensor for tensor in inferred.output_tensors()}
    return {name: tensors[name].as_numpy() for name in names}


def _full_name(error: Exception) -> str:
    """The exception's name with its module, as "error" alone (OpenCV's) has no meaning."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
