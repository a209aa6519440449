"""What goes wrong in one request of a batch fails that request, with the right code, and no other.

The backend's own module exists only inside the server, so a stand-in takes its place here; the same
code runs against the real one in test_served_*.py.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import threadpoolctl

from runtime.errors import InvalidBox
from runtime.image.crops import CROPS
from tests.helpers import requests as asking
from tests.helpers.fake_backend import Request, Response, Tensor, TritonError, initialize
from tests.helpers.paths import ROOT


def test_an_unexpected_exception_fails_its_own_request_and_is_logged(backend: Any) -> None:
    model = initialize(importlib.import_module("runtime.serving.base").ServedModel())

    def answer(request: Request) -> dict[str, np.ndarray[Any, Any]]:
        return {"y": 1 / request.tensors["x"].values} if request.tensors["x"].values else {}["key of ours"]

    good, bad = Request(["y"], x=np.array([4.0])), Request(["y"], x=np.array([0.0]))
    answered = [model.respond(request, answer) for request in (good, bad, good)]
    assert [response.has_error() for response in answered] == [False, True, False]
    assert answered[2].tensors["y"].values == [0.25]
    assert answered[1].error().code() == TritonError.INTERNAL
    assert "KeyError" in answered[1].error().message()
    assert "\n" not in answered[1].error().message()
    assert "key of ours" in backend.logged[0]


def test_an_exception_of_a_library_is_named_with_its_module(backend: Any) -> None:
    model = initialize(importlib.import_module("runtime.serving.base").ServedModel())

    def answer(request: Request) -> dict[str, np.ndarray[Any, Any]]:
        return {"y": np.asarray(cv2.resize(np.zeros((0, 0, 3), np.uint8), (2, 2)))}

    response = model.respond(Request(["y"]), answer)
    assert "(cv2.error)" in response.error().message()
    assert "!ssize.empty()" in backend.logged[0]


def opencv_lacks_memory() -> cv2.error:
    error = cv2.error("Failed to allocate 786432 bytes")
    error.code = cv2.Error.StsNoMem
    return error


@pytest.mark.parametrize(
    "error",
    [MemoryError(), opencv_lacks_memory(), RuntimeError("Exception from src/core.cpp: std::bad_alloc")],
)
def test_memory_that_ran_out_is_unavailable_and_no_fault_of_the_request(
    backend: Any, error: Exception
) -> None:
    model = initialize(importlib.import_module("runtime.serving.base").ServedModel())
    response = model.failure(error)
    assert response.error().code() == TritonError.UNAVAILABLE
    assert "no memory left for this request: send it again" in response.error().message()
    assert "no memory left" in backend.logged[0]


def test_every_served_model_keeps_opencv_to_one_thread(backend: Any) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        initialize(importlib.import_module("runtime.serving.base").ServedModel())
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


def test_every_served_model_keeps_numpy_s_blas_to_one_thread(backend: Any) -> None:
    """Its other threads spin after each product, and there is a process of them for every model."""
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        initialize(importlib.import_module("runtime.serving.base").ServedModel())
        of_numpy = [
            pool
            for pool in threadpoolctl.threadpool_info()
            if Path(pool["filepath"]).parent.match("numpy.libs")
        ]
        assert [pool["num_threads"] for pool in of_numpy] == [1]


def test_of_several_rows_the_refused_one_is_named(backend: Any) -> None:
    preprocess = importlib.import_module("runtime.serving.preprocess")
    model = initialize(preprocess.FacePreprocess(), inputs=("image", "box", "landmarks"), input_size="32")
    image = np.frombuffer(asking.ASTRONAUT.read_bytes(), np.uint8)
    for rows, named in ((3, "row 1 (of 0 to 2): "), (1, "")):
        boxes = np.full((rows, 4), np.nan, np.float32)
        boxes[rows // 2] = 0
        inputs = {"box": boxes, "landmarks": np.full((rows, 5, 2), np.nan, np.float32)}
        (response,) = model.execute([Request(["pixels"], image=np.stack([image] * rows), **inputs)])
        assert response.error().code() == TritonError.INVALID_ARG
        assert response.error().message().startswith(f"{named}the box (0, 0, 0, 0) is empty")


def test_a_crop_of_more_pixels_than_a_photo_may_have_is_refused(backend: Any) -> None:
    preprocess = importlib.import_module("runtime.serving.preprocess")
    model = initialize(preprocess.CropPreprocess(), inputs=("crop",), input_size="32")
    crop = np.broadcast_to(np.uint8(7), (1, 10_000, 5_001, 3))
    (response,) = model.execute([Request(["pixels"], crop=crop)])
    assert response.error().code() == TritonError.INVALID_ARG
    assert "5,001 x 10,000 pixels, more than the 50,000,000 accepted: send" in response.error().message()


def test_invalid_input_is_the_caller_s_and_not_logged(backend: Any) -> None:
    model = initialize(importlib.import_module("runtime.serving.base").ServedModel())

    def answer(request: Request) -> dict[str, np.ndarray[Any, Any]]:
        raise InvalidBox("the box is empty: send another")

    response = model.respond(Request(["y"]), answer)
    assert response.error().code() == TritonError.INVALID_ARG
    assert response.error().message() == "the box is empty: send another"
    assert backend.logged == []


def test_only_requested_tensors_are_sent(backend: Any) -> None:
    base = importlib.import_module("runtime.serving.base")
    response = base.response(Request(["b"]), {"a": np.zeros(1), "b": np.ones(1)})
    assert list(response.tensors) == ["b"]


class Engine:
    """Doubles its input; fails on a batch that holds a 13."""

    outputs = ("y", "z")

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(
        self, inputs: dict[str, np.ndarray[Any, Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray[Any, Any]]:
        values = inputs["x"]
        self.batches.append(len(values))
        if 13 in values:
            raise RuntimeError("unlucky")
        return dict.fromkeys(outputs or self.outputs, values * 2)


@pytest.fixture
def engine_model(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    served = importlib.import_module("runtime.serving.engine").FaceEngine
    monkeypatch.setattr(served, "load", lambda self: Engine())
    return initialize(served(), runtime="openvino", precision="fp32", threads="0", file="x.onnx")


def column(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)[:, None]


def test_the_engine_runs_a_batch_once_and_gives_each_request_its_own_rows(engine_model: Any) -> None:
    requests = [Request(["y"], x=column(1, 2)), Request(["z", "y"], x=column(3)), Request(["y"], x=column(4))]
    answered = engine_model.execute(requests)
    assert engine_model.engine.batches == [4]
    assert [response.tensors["y"].values.ravel().tolist() for response in answered] == [[2, 4], [6], [8]]
    assert set(answered[0].tensors) == {"y"}
    assert set(answered[1].tensors) == {"y", "z"}


@pytest.mark.parametrize(
    ("runtime", "kind"), [("openvino", "OpenVinoEngine"), ("onnxruntime", "OnnxRuntimeEngine")]
)
def test_the_engine_is_loaded_by_the_runtime_that_the_configuration_names(
    backend: Any, monkeypatch: pytest.MonkeyPatch, runtime: str, kind: str
) -> None:
    served = importlib.import_module("runtime.serving.engine").FaceEngine
    loaded: dict[str, dict[str, Any]] = {}

    class Loader:
        def __init__(self, path: Path, **settings: Any) -> None:
            loaded[path.name] = settings

        def prepare(self) -> None:
            loaded["prepared"] = {}

    monkeypatch.setattr(f"runtime.engines.{runtime}.{kind}", Loader)
    model = initialize(
        served(), runtime=runtime, precision="int8", threads="3", streams="2", file="model.xml"
    )
    assert isinstance(model.engine, Loader)
    assert loaded["model.xml"]["threads"] == 3
    if runtime == "openvino":
        assert {"precision": "int8", "threads": 3, "streams": 2}.items() <= loaded["model.xml"].items()
        assert "prepared" in loaded


def test_a_request_that_breaks_the_engine_does_not_take_its_batch_along(engine_model: Any) -> None:
    answered = engine_model.execute([Request(["y"], x=column(value)) for value in (1, 13, 3)])
    assert [response.has_error() for response in answered] == [False, True, False]
    assert answered[2].tensors["y"].values.tolist() == [[6]]
    assert answered[1].error().code() == TritonError.INTERNAL


def test_many_rows_are_asked_for_in_batches_and_come_back_in_order(backend: Any) -> None:
    base = importlib.import_module("runtime.serving.base")
    backend.answer = lambda model, names, inputs: Response([Tensor("y", inputs["x"] + 1)])
    rows = np.arange(70, dtype=np.float32)[:, None]
    answered = base.infer_in_batches("other", "x", rows, ["y"], max_batch=32)
    assert [len(inputs["x"]) for _, _, inputs in backend.asked] == [32, 32, 6]
    np.testing.assert_array_equal(answered["y"], rows + 1)
    # A GPU engine's answers must come to where numpy can read them.
    assert backend.memory == [("cpu", 0)] * 3


def test_another_model_s_refusal_keeps_its_code(backend: Any) -> None:
    base = importlib.import_module("runtime.serving.base")
    model = initialize(base.ServedModel())
    backend.answer = lambda *_: Response(error=TritonError("queue full", TritonError.UNAVAILABLE))

    def answer(request: Request) -> Any:
        return base.infer("face_engine", {"x": column(1)}, ["y"])

    response = model.respond(Request(["y"]), answer)
    assert response.error().code() == TritonError.UNAVAILABLE
    assert response.error().message() == "face_engine did not answer: queue full"


def test_every_model_program_is_thin() -> None:
    programs = list((ROOT / "model_repository").glob("*/1/model.py"))
    assert len(programs) >= 7
    for program in programs:
        assert len(program.read_text().splitlines()) <= 40, program


@pytest.mark.parametrize("kind", sorted(CROPS))
def test_a_crop_of_the_network_s_size_goes_to_it_as_it_is(backend: Any, kind: str) -> None:
    served = importlib.import_module("runtime.serving.preprocess").CropPreprocess
    model = initialize(served(), inputs=["crop"], input_size="16", crop=kind)
    crops = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    (answered,) = model.execute([Request(["pixels", "crop_to_photo", "photo_size"], crop=crops)])
    np.testing.assert_array_equal(answered.tensors["pixels"].values, crops)
    for row, crop in enumerate(crops):
        pixels, back = CROPS[kind](crop, size=16)
        np.testing.assert_array_equal(pixels, crop)
        np.testing.assert_array_equal(answered.tensors["crop_to_photo"].values[row], back)
    assert answered.tensors["photo_size"].values.tolist() == [[16, 16]] * 3
