"""An opened plan answers, and what fails on the GPU is one sentence; a GPU's side is played by stand-ins."""

import ctypes
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from build.backends.tensorrt_tools import plan_runner
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
        self.addresses: dict[str, int] = {}

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
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        """Its answer is the first byte of each picture."""
        assert stream == 7
        for number in range(2):
            first = ctypes.c_uint8.from_address(self.addresses["pixels"] + number * 48).value
            ctypes.c_float.from_address(self.addresses["age"] + number * 4).value = first
        return self.runs


class Driver:
    """libcuda with the processor's memory for a GPU's. `full`: none is left."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.memory: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.streams = 0

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        return 0

    def cuStreamCreate(self, stream: Any, flags: int) -> int:  # noqa: N802
        stream._obj.value = 7
        self.streams += 1
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        return 0

    def cuStreamDestroy_v2(self, stream: Any) -> int:  # noqa: N802
        self.streams -= 1
        return 0

    def cuMemAlloc_v2(self, pointer: Any, size: Any) -> int:  # noqa: N802
        if self.full:
            return 2
        buffer = ctypes.create_string_buffer(size.value)
        pointer._obj.value = ctypes.addressof(buffer)
        self.memory[pointer._obj.value] = buffer
        return 0

    def cuMemFree_v2(self, pointer: Any) -> int:  # noqa: N802
        del self.memory[pointer.value]
        return 0

    def cuMemcpyHtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:  # noqa: N802
        ctypes.memmove(to.value, source.value, size.value)
        return 0

    def cuMemcpyDtoHAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:  # noqa: N802
        ctypes.memmove(to.value, source.value, size.value)
        return 0

    def cuGetErrorString(self, status: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"out of memory"
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setattr(plan_runner, "driver", lambda: found)
    return found


TRT = SimpleNamespace(
    TensorIOMode=SimpleNamespace(OUTPUT="out"), DataType=SimpleNamespace(FLOAT="float", UINT8="uint8")
)
PICTURES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


def test_an_opened_engine_computes_on_what_was_copied_to_the_gpu(driver: Driver) -> None:
    engine = Opened()
    answers = runner(TRT, engine)(PICTURES)
    assert {name: values.shape for name, values in answers.items()} == {"age": (2, 1)}
    assert answers["age"].tolist() == [[0.0], [48.0]]  # the first byte of each picture
    assert not driver.memory
    assert not driver.streams


@pytest.mark.parametrize(
    ("engine", "reason"),
    [(Opened(takes=False), "the batch is outside its profile"), (Opened(runs=False), "gives no reason")],
)
def test_an_answer_that_fails_is_one_sentence_and_leaves_no_memory(
    driver: Driver, engine: Opened, reason: str
) -> None:
    with pytest.raises(BuildError, match=rf"did not answer a batch of 2 \(.*{reason}\)"):
        runner(TRT, engine)(PICTURES)
    assert not driver.memory
    assert not driver.streams


def test_a_full_gpu_is_named_by_the_driver_s_words(driver: Driver) -> None:
    driver.full = True
    with pytest.raises(BuildError, match=r"batch of 2 \(out of memory\): see with nvidia-smi"):
        runner(TRT, Opened())(PICTURES)


def test_a_driver_without_a_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_runner, "driver", lambda: None)
    with pytest.raises(BuildError, match="the driver finds no GPU"):
        runner(TRT, Opened())(PICTURES)


def test_an_engine_without_memory_to_run_is_refused() -> None:
    with pytest.raises(BuildError, match="see with nvidia-smi that the GPU has free memory"):
        runner(TRT, Opened(memory=False))
