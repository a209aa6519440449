"""Engines are compiled as they will be served, and tell what they really compute in."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as onnxruntime_package
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from build.acceptance.comparison_pictures import pictures
from build.acceptance.layers import TOLERATED_FP32_SHARE
from build.backends import onnxruntime
from build.backends import openvino as openvino_engine
from build.backends.base import Engine
from build.backends.tensorrt_tools import gpus as gpu
from build.config import WEIGHTS
from build.errors import BuildError
from runtime.engines.onnxruntime import OnnxRuntimeEngine
from runtime.engines.openvino import OpenVinoEngine
from tests.helpers.builds import bf16_refusal
from tests.helpers.networks import standin_network as standin

PIXELS = pictures(5, size=112)


def precisions(engine: Engine) -> set[str]:
    return {layer.precision for layer in engine.layers}


def write(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> Path:
    """A network from `pixels` [B, 4, 4, 3] to `answer` [B, 8]."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def quantised(path: Path) -> Path:
    """A product of matrices between Q and DQ nodes, as a quantiser leaves it."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["rows"]),
        helper.make_node("QuantizeLinear", ["rows", "scale", "zero"], ["rows_q"]),
        helper.make_node("DequantizeLinear", ["rows_q", "scale", "zero"], ["rows_dq"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "zero"], ["weights_dq"]),
        helper.make_node("MatMul", ["rows_dq", "weights_dq"], ["product"], name="head"),
        helper.make_node("QuantizeLinear", ["product", "scale", "zero"], ["product_q"]),
        helper.make_node("DequantizeLinear", ["product_q", "scale", "zero"], ["answer"]),
    ]
    weights = np.random.default_rng(0).integers(-127, 127, (48, 8)).astype(np.int8)
    scale = {"scale": np.float32(2), "zero": np.int8(0)}
    return write(path, nodes, {"shape": np.array([-1, 48]), "weights": weights} | scale)


def test_openvino_tells_what_its_layers_compute_in_and_answers_as_onnx_runtime_does() -> None:
    engine = openvino_engine.engine_of(WEIGHTS, precision="fp32", threads=0, streams=1)
    assert precisions(engine) == {"fp32"}
    assert {"Convolution", "FullyConnected"} <= {layer.kind for layer in engine.layers}
    assert any("softmax" in layer.name for layer in engine.layers), "fused attention counts as a layer"
    assert engine.settings == {"hint": "fp32", "threads": 0, "streams": 1}
    assert engine.files == {"model.onnx": WEIGHTS}
    assert engine.infer is not None
    expected = OnnxRuntimeEngine(WEIGHTS).infer({"pixels": PIXELS})
    answered = engine.infer(PIXELS)
    assert set(answered) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(answered[name], values, atol=1e-4)


def test_openvino_s_hint_is_what_the_processor_can_do_and_its_layers_follow_it() -> None:
    refusal = bf16_refusal()
    if refusal == "OpenVINO can't compile":
        with pytest.raises(BuildError, match=refusal):
            openvino_engine.engine_of(WEIGHTS, precision="bf16", threads=1, streams=1)
        return
    engine = openvino_engine.engine_of(WEIGHTS, precision="bf16", threads=1, streams=1)
    hint = "bf16" if refusal is None else "fp32"
    assert engine.settings["hint"] == hint
    # oneDNN may lack a kernel on a processor that emulates bf16: no more than the gate tolerates.
    others = [layer for layer in engine.layers if layer.precision != hint]
    assert {layer.precision for layer in others} <= {"fp32"}
    assert len(others) <= TOLERATED_FP32_SHARE * len(engine.layers)


def test_a_quantised_network_s_products_are_int8_in_both_runtimes(tmp_path: Path) -> None:
    network = quantised(tmp_path / "x.onnx")
    model = openvino.Core().read_model(network)
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    by_openvino = openvino_engine.engine_of(tmp_path / "model.xml", precision="int8", threads=0, streams=1)
    assert precisions(by_openvino) == {"int8"}
    assert set(by_openvino.files) == {"model.xml", "model.bin"}
    by_onnxruntime = onnxruntime.engine_of(network, precision="int8", threads=0, streams=1)
    assert precisions(by_onnxruntime) == {"int8"}
    assert by_onnxruntime.infer is not None


def test_onnx_runtime_tells_what_its_layers_compute_in() -> None:
    engine = onnxruntime.engine_of(WEIGHTS, precision="fp32", threads=0, streams=1)
    assert precisions(engine) == {"fp32"}
    assert {"Conv", "MatMul"} <= {layer.kind for layer in engine.layers}
    assert engine.infer is not None
    assert set(engine.infer(PIXELS)) == set(OnnxRuntimeEngine(WEIGHTS).outputs)


def test_onnx_runtime_s_engine_is_the_cpu_s_where_there_is_cuda_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server runs it on the CPU: what is judged must not be another's answers."""
    asked: list[list[str]] = []
    session = onnxruntime_package.InferenceSession

    def start(path: str, options: Any, *, providers: list[Any]) -> Any:
        asked.append(providers)
        return session(path, options, providers=["CPUExecutionProvider"])

    able = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime_package, "get_available_providers", lambda: able)
    monkeypatch.setattr(onnxruntime_package, "InferenceSession", start)
    monkeypatch.setattr("build.machine.has_gpu", lambda: True)
    engine = onnxruntime.engine_of(WEIGHTS, precision="fp32", threads=1, streams=1)
    assert asked == [["CPUExecutionProvider"]]
    assert engine.settings == {"threads": 1, "streams": 1}
    assert (set(engine.versions), engine.needs) == ({"onnxruntime"}, "")


def test_fp16_is_loaded_but_not_asked_as_the_cpu_would_compute_it_in_fp32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["low"], to=TensorProto.FLOAT16),
        helper.make_node("Reshape", ["low", "shape"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["product"], name="head"),
        helper.make_node("Cast", ["product"], ["answer"], to=TensorProto.FLOAT),
    ]
    constants = {"shape": np.array([-1, 48]), "weights": np.ones((48, 8), np.float16)}
    network = write(tmp_path / "x.onnx", nodes, constants)
    engine = onnxruntime.engine_of(network, precision="fp16", threads=0, streams=1)
    assert (engine.infer, engine.needs) == (None, "a GPU")
    # The CPU would run it in fp32; what a GPU is given is what counts.
    assert [(layer.name, layer.precision) for layer in engine.layers] == [("head", "fp16")]
    assert engine.layers_from == "parsed network"


def test_types_are_read_of_the_weights_where_the_input_has_none() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["hidden", "weights"], ["x"], name="conv", domain="com.microsoft.nchwc"),
            helper.make_node("QLinearMatMul", ["a"], ["b"], name="product"),
            helper.make_node("QLinearAdd", ["a"], ["c"], name="no product", domain="com.microsoft"),
            helper.make_node("Cast", ["b"], ["d"], to=TensorProto.FLOAT),
            helper.make_node("FusedMatMul", ["d", "d"], ["e"], name="cast", domain="com.microsoft"),
            helper.make_node("DequantizeLinear", ["a", "scale"], ["f"]),
            helper.make_node("MatMul", ["f", "f"], ["g"], name="dequantised"),
            helper.make_node("Add", ["x", "x"], ["y"], name="sum"),
        ],
        "g",
        [],
        [],
        [
            numpy_helper.from_array(np.zeros((1, 1), np.float16), "weights"),
            numpy_helper.from_array(np.array(1, np.float32), "scale"),
        ],
    )
    found = onnxruntime.read_layers(helper.make_model(graph))
    assert [(layer.name, layer.kind, layer.precision) for layer in found] == [
        ("conv", "Conv", "fp16"),
        ("product", "QLinearMatMul", "int8"),
        ("cast", "FusedMatMul", "fp32"),
        ("dequantised", "MatMul", "fp32"),
    ]


@pytest.mark.parametrize("module", [openvino_engine, onnxruntime])
def test_a_file_that_is_no_network_is_told_in_one_sentence(tmp_path: Path, module: Any) -> None:
    path = tmp_path / "x.onnx"
    path.write_text("no network")
    with pytest.raises(BuildError, match=r"can't (compile|load) .*x\.onnx \(.+\)") as told:
        module.engine_of(path, precision="fp32", threads=0, streams=1)
    assert "\n" not in str(told.value)
    with pytest.raises(BuildError, match=r"gone\.onnx"):
        module.engine_of(tmp_path / "gone.onnx", precision="fp32", threads=0, streams=1)


def test_onnx_runtime_has_no_streams() -> None:
    with pytest.raises(BuildError, match="choose --streams 1"):
        onnxruntime.engine_of(WEIGHTS, precision="fp32", threads=0, streams=2)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_batch_divided_over_streams_gets_the_same_answers_in_order(tmp_path: Path, rows: int) -> None:
    network = standin.write(tmp_path / "x.onnx", standin.contract_of("age", "head_pose", "parsing"))
    pixels = pictures(rows, size=standin.SIZE)
    alone = OpenVinoEngine(network, precision="fp32").infer({"pixels": pixels})
    divided = OpenVinoEngine(network, precision="fp32", streams=2).infer({"pixels": pixels})
    for name, values in alone.items():
        np.testing.assert_array_equal(divided[name], values)


def test_no_stream_is_refused(tmp_path: Path) -> None:
    network = standin.write(tmp_path / "x.onnx", standin.contract_of("age"))
    with pytest.raises(ValueError, match="use 1 or more"):
        OpenVinoEngine(network, precision="fp32", streams=0)


def test_onnx_runtime_answers_the_outputs_that_are_asked_for(tmp_path: Path) -> None:
    network = standin.write(tmp_path / "x.onnx", standin.contract_of("age", "gender"))
    engine = OnnxRuntimeEngine(network, threads=1)
    turned = pictures(3, size=standin.SIZE)[:, ::-1]
    answered = engine.infer({"pixels": turned}, outputs=["gender"])
    expected = OpenVinoEngine(network, precision="fp32").infer({"pixels": turned})
    assert set(answered) == {"gender"}
    np.testing.assert_allclose(answered["gender"], expected["gender"], atol=1e-4)


def driver(*gpus: tuple[str, int, int] | None, starts: bool = True) -> Any:
    """The driver's library as it answers for these GPUs; None is one that can't be asked."""

    def put(place: Any, value: int, *, failed: int = 0) -> int:
        place._obj.value = value
        return failed

    def tell_name(place: Any, size: int, device: Any) -> int:
        place.value = gpus[device.value][0].encode()
        return 0

    parts = {75: 1, 76: 2}
    return SimpleNamespace(
        cuInit=lambda flags: 0 if starts else 100,
        cuDriverGetVersion=lambda version: put(version, 12040),
        cuDeviceGetCount=lambda count: put(count, len(gpus)),
        cuDeviceGet=lambda device, number: put(device, number, failed=0 if gpus[number] else 101),
        cuDeviceGetName=tell_name,
        cuDeviceGetAttribute=lambda value, what, device: put(value, gpus[device.value][parts[what]]),
    )


def test_every_gpu_that_this_process_may_use_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    two = driver(("NVIDIA L4", 8, 9), ("NVIDIA T4", 7, 5))
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: two)
    assert [str(found) for found in gpu.visible_gpus()] == ["NVIDIA L4 (8.9)", "NVIDIA T4 (7.5)"]
    assert gpu.gpu_versions() == {
        "gpu": "NVIDIA L4",
        "compute_capability": "8.9",
        "gpus": "NVIDIA L4 (8.9), NVIDIA T4 (7.5)",
        "cuda": "12.4",
    }


@pytest.mark.parametrize(
    "library", [None, driver(starts=False), driver(), driver(("NVIDIA L4", 8, 9), None), object()]
)
def test_a_driver_that_does_not_tell_every_gpu_tells_of_none(
    monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    def load(name: str) -> Any:
        if library is None:
            raise OSError(f"{name}: cannot open shared object file")
        return library

    monkeypatch.setattr(gpu.ctypes, "CDLL", load)
    assert (gpu.visible_gpus(), gpu.gpu_versions()) == ((), {})
