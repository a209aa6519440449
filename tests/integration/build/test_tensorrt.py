"""The network builds for TensorRT, and what TensorRT can't build is refused in one sentence.

TensorRT-RTX parses and builds on any machine, through the same code that builds for TensorRT.
"""

import importlib
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from build import machine
from build.backends import tensorrt, tensorrt_rtx
from build.backends.base import BuildOptions, Engine, LoweredNetwork
from build.backends.tensorrt_tools import plan_backend
from build.config import WEIGHTS
from build.errors import BuildError
from build.precisions import Precision
from tests.helpers.networks import standin_network as standin

ONNX_TYPES = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def build(
    network: Path,
    directory: Path,
    *,
    rtx: bool = True,
    precision: Precision = "fp32",
    max_batch: int = 32,
    log: Callable[[str], None] = lambda line: None,
) -> Engine:
    return (tensorrt_rtx.BACKEND if rtx else tensorrt.BACKEND).build(
        LoweredNetwork(network=network, files={"model.onnx": network}),
        precision=precision,
        directory=directory,
        options=BuildOptions(max_batch=max_batch),
        log=log,
    )


def product(path: Path, *, precision: str) -> Path:
    """pixels [B, 4, 4, 3] times a matrix, computed at a precision."""
    weights = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32)
    kind = ONNX_TYPES[precision]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["low"], to=kind),
        helper.make_node("Cast", ["weights"], ["low_weights"], to=kind),
        helper.make_node("MatMul", ["low", "low_weights"], ["product"], name="head"),
        helper.make_node("Cast", ["product"], ["answer"], to=TensorProto.FLOAT),
    ]
    return _write(path, nodes, {"shape": np.array([-1, 48]), "weights": weights})


def quantised(path: Path) -> Path:
    """The same with Q and DQ nodes before the product, as a quantiser leaves it."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("QuantizeLinear", ["float", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("Reshape", ["dq", "shape"], ["rows"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "zero"], ["weights_dq"]),
        helper.make_node("MatMul", ["rows", "weights_dq"], ["answer"], name="head"),
    ]
    weights = np.random.default_rng(0).integers(-127, 127, (48, 8)).astype(np.int8)
    scale = {"scale": np.float32(2), "zero": np.int8(0)}
    return _write(path, nodes, {"shape": np.array([-1, 48]), "weights": weights} | scale)


def _write(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_the_committed_network_builds_strongly_typed_in_fp32(tmp_path: Path) -> None:
    said: list[str] = []
    engine = build(WEIGHTS, tmp_path, log=said.append)
    assert engine.files == {"model.plan": tmp_path / "model.plan"}
    assert (tmp_path / "model.plan").stat().st_size > 20e6, "fp32 weights of 7.3 million parameters"
    assert {layer.precision for layer in engine.layers} == {"fp32"}
    assert {"convolution", "matrix_multiply"} <= {layer.kind for layer in engine.layers}
    assert engine.layers_from == "parsed network"
    assert engine.settings["profile"] == {"min": 1, "opt": 8, "max": 32}
    assert not engine.settings["tf32"], "an engine called fp32 multiplies in fp32"
    assert (engine.infer, engine.needs) == (None, "a GPU")
    assert any("Building engine" in line for line in said)


def test_an_engine_that_the_gpu_does_not_open_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = importlib.import_module("tensorrt_rtx")
    unable = SimpleNamespace(deserialize_cuda_engine=lambda plan: None)
    monkeypatch.setattr(trt, "Runtime", lambda logger: unable)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    engine = build(product(tmp_path / "x.onnx", precision="fp32"), tmp_path)
    assert (engine.infer, engine.needs) == (None, "a GPU that TensorRT-RTX knows")
    assert engine.layers_from == "parsed network"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_layer_multiplies_in_what_the_network_says(tmp_path: Path, precision: Precision) -> None:
    engine = build(product(tmp_path / "x.onnx", precision=precision), tmp_path, precision=precision)
    assert [(layer.name, layer.precision) for layer in engine.layers] == [("head", precision)]


@pytest.mark.usefixtures("no_gpu")
def test_what_comes_from_dq_nodes_is_multiplied_in_int8(tmp_path: Path) -> None:
    engine = build(quantised(tmp_path / "x.onnx"), tmp_path, precision="int8")
    assert [(layer.name, layer.precision) for layer in engine.layers] == [("head", "int8")]


def test_a_node_that_tensorrt_does_not_know_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Smile", ["pixels"], ["answer"], name="encoder/smile", domain="ours")
    path = _write(tmp_path / "x.onnx", [node], {})
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("ours", 1))
    onnx.save(model, path)
    said = r"does not take .*x\.onnx: the node encoder/smile \(Smile\)"
    with pytest.raises(BuildError, match=said) as told:
        build(path, tmp_path)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "model.plan").exists()


@pytest.mark.parametrize("content", [None, b"no network"])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BuildError, match=r"TensorRT-RTX does not take .*x\.onnx: "):
        build(path, tmp_path)


def test_a_profile_below_the_served_batch_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="--max-batch 32 or more"):
        build(tmp_path / "gone.onnx", tmp_path, max_batch=31)


@pytest.mark.usefixtures("no_gpu")
def test_ctrl_c_ends_a_build_and_leaves_no_plan(tmp_path: Path) -> None:
    def press(line: str) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    with pytest.raises(KeyboardInterrupt):
        build(WEIGHTS, tmp_path, log=press)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("no_gpu")
def test_tensorrt_without_a_gpu_is_refused_and_nothing_is_built_instead(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="tensorrt needs an NVIDIA GPU"):
        build(WEIGHTS, tmp_path, rtx=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rtx", [True, False])
def test_a_missing_tensorrt_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rtx: bool
) -> None:
    def gone(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    monkeypatch.setattr("importlib.import_module", gone)
    what = "Python of .venv" if rtx else "inside the serving container"
    with pytest.raises(BuildError, match=f"nothing else was built: .*{what}"):
        build(WEIGHTS, tmp_path, rtx=rtx)


def test_a_tensorrt_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    old = SimpleNamespace(__version__="10.9.0.34")
    monkeypatch.setattr("importlib.import_module", lambda name: old)
    with pytest.raises(BuildError, match=r"TensorRT 10\.9\.0\.34 is too old: install 10\.12 or newer"):
        build(WEIGHTS, tmp_path, rtx=False)


def test_no_plan_is_built_that_nobody_could_check_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    monkeypatch.setattr(plan_backend, "gpu_versions", dict)
    present = SimpleNamespace(__version__="11.4.0")
    monkeypatch.setattr("importlib.import_module", lambda name: present)
    with pytest.raises(
        BuildError, match=r"where the plan runs could not be checked later: .*CUDA_VISIBLE_DEVICES"
    ):
        build(WEIGHTS, tmp_path, rtx=False)
    assert list(tmp_path.iterdir()) == []


def test_the_served_network_of_every_kind_of_task_is_taken(tmp_path: Path) -> None:
    contract = standin.contract_of("expression", "action_units", "age", "head_pose", "landmarks", "parsing")
    engine = build(standin.write(tmp_path / "x.onnx", contract), tmp_path)
    assert engine.files["model.plan"].stat().st_size > 0
