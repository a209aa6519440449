"""A stand-in for the Python backend's own module, which exists only inside the server."""

import contextlib
import json
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest


class Tensor:
    def __init__(self, name: str, values: np.ndarray[Any, Any]) -> None:
        self._name, self.values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray[Any, Any]:
        return self.values


class TritonError(Exception):
    INVALID_ARG, INTERNAL, UNAVAILABLE = "invalid", "internal", "unavailable"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        self.said, self.kind = message, code

    def message(self) -> str:
        return self.said

    def code(self) -> str:
        return self.kind


class Response:
    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self.tensors, self.failure = {tensor.name(): tensor for tensor in output_tensors}, error

    def output_tensors(self) -> list[Tensor]:
        return list(self.tensors.values())

    def has_error(self) -> bool:
        return self.failure is not None

    def error(self) -> TritonError | None:
        return self.failure


class Request:
    def __init__(self, wanted: Sequence[str], **inputs: np.ndarray[Any, Any]) -> None:
        self.wanted, self.tensors = list(wanted), {n: Tensor(n, v) for n, v in inputs.items()}

    def inputs(self) -> list[Tensor]:
        return list(self.tensors.values())

    def requested_output_names(self) -> list[str]:
        return self.wanted


@contextlib.contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """The backend's module with what was logged in `logged`, what BLS answers in `answer`, and where it
    was told to put that in `memory`."""
    logged: list[str] = []
    module = types.SimpleNamespace(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=Response,
        Logger=types.SimpleNamespace(log_error=logged.append),
        get_input_tensor_by_name=lambda request, name: request.tensors[name],
        get_output_tensor_by_name=lambda response, name: response.tensors[name],
        logged=logged,
        asked=[],
        memory=[],
        answer=None,
        TRITONSERVER_MEMORY_CPU="cpu",
        PreferredMemory=lambda kind, number: (kind, number),
    )

    class InferenceRequest:
        def __init__(
            self,
            *,
            model_name: str,
            requested_output_names: list[str],
            inputs: Any,
            preferred_memory: Any = None,
        ) -> None:
            module.memory.append(preferred_memory)
            self.what = (model_name, requested_output_names, {t.name(): t.values for t in inputs})

        def exec(self) -> Response:
            module.asked.append(self.what)
            answered: Response = module.answer(*self.what)
            return answered

        async def async_exec(self) -> Response:
            return self.exec()

    module.InferenceRequest = InferenceRequest
    for name in [name for name in sys.modules if name.startswith("runtime.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    yield module
    for name in [name for name in sys.modules if name.startswith("runtime.serving")]:
        sys.modules.pop(name)


def initialize(model: Any, *, inputs: Sequence[str] = ("x",), **parameters: str) -> Any:
    config = {
        "name": "model",
        "input": [{"name": name} for name in inputs],
        "output": [],
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }
    model.initialize({"model_config": json.dumps(config), "model_repository": "/r", "model_version": "1"})
    return model
