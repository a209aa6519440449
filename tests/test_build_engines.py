"""Engines are compiled as they will be served, and tell what they really compute in."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import standin
from onnx import TensorProto, helper, numpy_helper

from build.config import WEIGHTS
from build.engines import Engine, gpu, onnxruntime
from build.engines import openvino as openvino_engine
from build.errors import BuildError
from build.parity import pictures
from runtime.onnxruntime_engine import OnnxRuntimeEngine
from runtime.openvino_engine import OpenVinoEngine

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
    engine = openvino_engine.build(WEIGHTS, precision="fp32", threads=0, streams=1)
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


def test_openvino_s_hint_is_what_the_processor_can_do_and_every_layer_follows_it() -> None:
    engine = openvino_engine.build(WEIGHTS, precision="bf16", threads=1, streams=1)
    able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert engine.settings["hint"] == ("bf16" if able else "fp32")
    assert precisions(engine) == {engine.settings["hint"]}


def test_a_quantised_network_s_products_are_int8_in_both_runtimes(tmp_path: Path) -> None:
    network = quantised(tmp_path / "x.onnx")
    model = openvino.Core().read_model(network)
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    by_openvino = openvino_engine.build(tmp_path / "model.xml", precision="int8", threads=0, streams=1)
    assert precisions(by_openvino) == {"int8"}
    assert set(by_openvino.files) == {"model.xml", "model.bin"}
    by_onnxruntime = onnxruntime.build(network, precision="int8", threads=0, streams=1)
    assert precisions(by_onnxruntime) == {"int8"}
    assert by_onnxruntime.infer is not None


def test_onnx_runtime_tells_what_its_layers_compute_in() -> None:
    engine = onnxruntime.build(WEIGHTS, precision="fp32", threads=0, streams=1)
    assert precisions(engine) == {"fp32"}
    assert {"Conv", "MatMul"} <= {layer.kind for layer in engine.layers}
    assert engine.infer is not None
    assert set(engine.infer(PIXELS)) == set(OnnxRuntimeEngine(WEIGHTS).outputs)


def test_fp16_without_a_gpu_is_loaded_but_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["low"], to=TensorProto.FLOAT16),
        helper.make_node("Reshape", ["low", "shape"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["product"], name="head"),
        helper.make_node("Cast", ["product"], ["answer"], to=TensorProto.FLOAT),
    ]
    constants = {"shape": np.array([-1, 48]), "weights": np.ones((48, 8), np.float16)}
    network = write(tmp_path / "x.onnx", nodes, constants)
    monkeypatch.setattr(onnxruntime, "has_gpu", lambda: False)
    engine = onnxruntime.build(network, precision="fp16", threads=0, streams=1)
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
        module.build(path, precision="fp32", threads=0, streams=1)
    assert "\n" not in str(told.value)
    with pytest.raises(BuildError, match=r"gone\.onnx"):
        module.build(tmp_path / "gone.onnx", precision="fp32", threads=0, streams=1)


def test_onnx_runtime_has_no_streams() -> None:
    with pytest.raises(BuildError, match="choose --streams 1"):
        onnxruntime.build(WEIGHTS, precision="fp32", threads=0, streams=2)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_batch_divided_over_streams_gets_the_same_answers_in_order(tmp_path: Path, rows: int) -> None:
    network = standin.write(tmp_path / "x.onnx", standin.contract_of("age", "head_pose", "parsing"))
    pixels = pictures(rows, size=standin.SIZE)
    alone = OpenVinoEngine(network, precision="fp32").infer({"pixels": pixels})
    divided = OpenVinoEngine(network, precision="fp32", streams=2).infer({"pixels": pixels})
    for name, values in alone.items():
        np.testing.assert_array_equal(divided[name], values)


def test_no_stream_and_no_cuda_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = standin.write(tmp_path / "x.onnx", standin.contract_of("age"))
    with pytest.raises(ValueError, match="use 1 or more"):
        OpenVinoEngine(network, precision="fp32", streams=0)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeError, match="install onnxruntime-gpu"):
        OnnxRuntimeEngine(network, device="cuda")


def test_onnx_runtime_answers_the_outputs_that_are_asked_for(tmp_path: Path) -> None:
    network = standin.write(tmp_path / "x.onnx", standin.contract_of("age", "gender"))
    engine = OnnxRuntimeEngine(network, threads=1)
    turned = pictures(3, size=standin.SIZE)[:, ::-1]
    answered = engine.infer({"pixels": turned}, outputs=["gender"])
    expected = OpenVinoEngine(network, precision="fp32").infer({"pixels": turned})
    assert set(answered) == {"gender"}
    np.testing.assert_allclose(answered["gender"], expected["gender"], atol=1e-4)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "NVIDIA L4, 8.9, 550.54.15\nNVIDIA L4, 8.9, 550.54.15\n",
            {"gpu": "NVIDIA L4", "compute_capability": "8.9", "driver": "550.54.15"},
        ),
        ("No devices were found\n", {}),
        ("", {}),
    ],
)
def test_the_first_gpu_is_read_of_what_the_driver_says(answer: str, expected: dict[str, str]) -> None:
    assert gpu.read_query(answer) == expected
