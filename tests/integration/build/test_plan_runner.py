"""An opened plan answers, and what fails on the GPU is one sentence; a GPU's side is played by stand-ins."""

import contextlib
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from build.backends.tensorrt_tools.plan_runner import inspect, runner
from build.errors import BuildError


def test_the_inspector_is_asked_at_the_best_batch() -> None:
    """Where a batch is open it would tell no types."""
    asked: list[Any] = []
    context = SimpleNamespace(set_input_shape=lambda name, shape: asked.append((name, shape)))
    inspector = SimpleNamespace(
        execution_context=None,
        get_engine_information=lambda form: json.dumps(inspector.execution_context is context),
    )
    engine = SimpleNamespace(
        create_engine_inspector=lambda: inspector,
        create_execution_context=lambda: context,
        get_tensor_profile_shape=lambda name, profile: [(1, 4, 4, 3), (8, 4, 4, 3), (32, 4, 4, 3)],
    )
    trt = SimpleNamespace(LayerInformationFormat=SimpleNamespace(JSON="json"))
    assert inspect(trt, engine) == "true"
    assert asked == [("pixels", (8, 4, 4, 3))]


class Opened:
    """An engine of one input and output, and its execution context, on a GPU that fails as it is told."""

    num_io_tensors = 2

    def __init__(self, *, takes: bool = True, runs: bool = True, memory: bool = True) -> None:
        self.takes, self.runs, self.memory = takes, runs, memory

    def create_execution_context(self) -> Any:
        return self if self.memory else None

    def get_tensor_name(self, number: int) -> str:
        return ("pixels", "age")[number]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "pixels" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return "float"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (2, 1)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return self.takes

    def set_tensor_address(self, name: str, address: int) -> None:
        return

    def execute_async_v3(self, stream: int) -> bool:
        return self.runs


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """TensorRT's names, beside a PyTorch that has the processor's memory for a GPU's."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, device: empty(shape, dtype=dtype))
    return SimpleNamespace(
        TensorIOMode=SimpleNamespace(OUTPUT="out"), DataType=SimpleNamespace(FLOAT="float", UINT8="uint8")
    )


PICTURES = np.zeros((2, 4, 4, 3), np.uint8)


def test_an_opened_engine_answers_by_its_outputs_names(trt: Any) -> None:
    infer = runner(trt, Opened())
    assert infer is not None
    assert {name: values.shape for name, values in infer(PICTURES).items()} == {"age": (2, 1)}


@pytest.mark.parametrize(
    ("engine", "reason"),
    [(Opened(takes=False), "the batch is outside its profile"), (Opened(runs=False), "gives no reason")],
)
def test_an_answer_that_fails_is_told_in_one_sentence(trt: Any, engine: Opened, reason: str) -> None:
    infer = runner(trt, engine)
    assert infer is not None
    with pytest.raises(BuildError, match=rf"did not answer a batch of 2 \(.*{reason}\)"):
        infer(PICTURES)


def test_what_pytorch_says_of_a_gpu_is_told_in_one_sentence(
    trt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensor: Any, device: str) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried a lot.\nCompile with more memory.")

    monkeypatch.setattr(torch.Tensor, "to", full)
    infer = runner(trt, Opened())
    assert infer is not None
    with pytest.raises(BuildError, match=r"\(CUDA out of memory\. Tried a lot\.\)") as told:
        infer(PICTURES)
    assert "\n" not in str(told.value)


def test_an_engine_without_memory_to_run_is_refused(trt: Any) -> None:
    with pytest.raises(BuildError, match="see with nvidia-smi that the GPU has free memory"):
        runner(trt, Opened(memory=False))
