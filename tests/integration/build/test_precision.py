"""The network at each precision: what it is made of, what stays exact, and what it needs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import build.lowering.qdq_quantization
from build.acceptance.comparison_pictures import pictures
from build.acceptance.parity import differences, tolerances
from build.backends.base import LoweredNetwork
from build.config import WEIGHTS
from build.errors import BuildError
from build.lowering.gpu_rounding import rounded
from build.lowering.onnx_file import element_types, unpacked
from build.lowering.precision_exclusions import INPUT, Node, excluded_nodes, onnx_nodes
from build.lowering.silenced_libraries import audible, quiet
from build.onnx_interface import read_graph
from build.precisions import Precision
from build.stages.precision import lower
from tests.helpers.networks import standin_network as standin

Lower = Callable[..., LoweredNetwork]


@pytest.fixture
def made(tmp_path: Path) -> Lower:
    """`lower` into an empty directory, for the shipped weights unless others are named."""

    def lowered(
        target: str,
        precision: Precision,
        *,
        network: Path = WEIGHTS,
        calibration: NDArray[np.uint8] | None = None,
        progress: Callable[[str], None] = lambda text: None,
    ) -> LoweredNetwork:
        contract = read_graph(network).contract
        directory = tmp_path / f"{target}-{precision}"
        directory.mkdir()
        faces = pictures(4, size=contract.input_size)
        return lower(
            network,
            target=target,
            precision=precision,
            contract=contract,
            faces=faces,
            calibration=calibration,
            directory=directory,
            log=progress,
        )

    return lowered


def products(model: onnx.ModelProto) -> dict[str, int]:
    """The element type that each product and convolution multiplies in."""
    types = element_types(model)
    return {
        node.name: types[node.input[0]] for node in model.graph.node if node.op_type in ("Conv", "MatMul")
    }


@pytest.mark.parametrize(("target", "precision"), [("openvino", "bf16"), ("onnxruntime", "fp32")])
def test_what_the_engine_itself_decides_leaves_the_export_as_it_is(
    made: Lower, target: str, precision: Precision
) -> None:
    lowered = made(target, precision)
    assert lowered.network.read_bytes() == WEIGHTS.read_bytes()
    assert lowered.excluded == ()


def test_fp32_for_a_strongly_typed_engine_has_fp32_weights_and_the_same_answers(made: Lower) -> None:
    lowered = made("tensorrt", "fp32")
    model = onnx.load(str(lowered.network))
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in model.graph.initializer}
    assert read_graph(lowered.network).metadata == read_graph(WEIGHTS).metadata
    pixels = pictures(3, size=read_graph(WEIGHTS).contract.input_size)
    expected, answered = rounded(WEIGHTS)(pixels), rounded(lowered.network)(pixels)
    for name, values in expected.items():
        assert np.allclose(values, answered[name], atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)]
)
def test_16_bits_multiply_in_16_bits_and_stay_within_the_tolerance(
    made: Lower, precision: Precision, kind: int
) -> None:
    graph = read_graph(WEIGHTS)
    lowered = made("tensorrt", precision)
    kept = {node.name for node in lowered.excluded}
    found = products(onnx.load(str(lowered.network)))
    assert {name: element for name, element in found.items() if name not in kept} == dict.fromkeys(
        found.keys() - kept, kind
    )
    assert lowered.details["converted"] == lowered.details["nodes"] - len(kept)
    assert lowered.details["converted"] > 100
    again = read_graph(lowered.network)  # its interface, its contract
    assert again.heads == graph.heads
    assert again.metadata == graph.metadata
    pixels = pictures(5, size=graph.contract.input_size, seed=1)
    before, after = rounded(WEIGHTS)(pixels), rounded(lowered.network)(pixels)
    apart = differences(graph.contract, before, after, in_units=True)
    allowed = tolerances(graph.contract, precision=precision)
    assert max(apart.values()) > 1e-5  # it was rounded
    # These are no faces; on faces every engine is judged when it is built.
    room = 2 if precision == "bf16" else 1
    assert all(apart[name] <= room * allowed[name] for name in allowed)


def test_a_node_whose_values_fp16_can_t_hold_stays_fp32_and_says_why(tmp_path: Path, made: Lower) -> None:
    path = standin.write(tmp_path / "large.onnx", standin.contract_of("age"))
    model = onnx.load(str(path))
    for node in model.graph.node:
        if node.op_type == "ReduceMean":
            node.output[0] = "small"
    model.graph.initializer.append(numpy_helper.from_array(np.array(1000, np.float32), "thousand"))
    model.graph.node.insert(2, helper.make_node("Mul", ["small", "thousand"], ["mean"], name="growing"))
    path.write_bytes(model.SerializeToString())
    lowered = made("tensorrt", "fp16", network=path)
    reasons = {kept.name: kept.reason for kept in lowered.excluded}
    assert "too far for fp16" in reasons["growing"]
    assert lowered.details["converted"] > 0
    answer = rounded(lowered.network)(np.full((1, standin.SIZE, standin.SIZE, 3), 255, np.uint8))["age"]
    assert np.isfinite(answer).all()


def test_normalisation_stem_and_heads_are_found_by_their_place() -> None:
    def chain(*kinds: str) -> list[Node]:
        named = [f"{kind}{number}" for number, kind in enumerate(kinds)]
        return [
            Node(name=name, kind=kind, inputs=tuple(named[max(number - 1, 0) : number]))
            for number, (name, kind) in enumerate(zip(named, kinds, strict=True))
        ]

    nodes = chain(
        INPUT, "Sub", "Conv", "Relu", "Conv", "Conv", "Conv", "LayerNormalization", "MatMul", "MVN", "Mul"
    )
    assert list(excluded_nodes(nodes, precision="bf16")) == ["Sub1", "Mul10"]
    assert list(excluded_nodes(nodes, precision="int8")) == ["Conv2", "Conv4", "Conv5", "Mul10"]
    assert excluded_nodes(nodes, precision="fp32") == {}


def test_the_shipped_weights_keep_three_convolutions_and_every_answer_s_last_steps() -> None:
    model = unpacked(WEIGHTS)
    kinds = {node.name: node.op_type for node in model.graph.node}
    makers = {name: node.name for node in model.graph.node for name in node.output}
    kept = excluded_nodes(onnx_nodes(model), precision="int8")
    assert sum(kinds[name] == "Conv" for name in kept) == 3
    assert all(makers[value.name] in kept for value in model.graph.output)
    assert len(kept) < len(kinds) / 2


@pytest.mark.parametrize("target", ["openvino", "tensorrt"])
@pytest.mark.parametrize("count", [None, 499])
def test_int8_wants_five_hundred_faces(made: Lower, target: str, count: int | None) -> None:
    calibration = None if count is None else np.zeros((count, 112, 112, 3), np.uint8)
    with pytest.raises(BuildError, match=r"500.*CALIBRATION="):
        made(target, "int8", calibration=calibration)


@pytest.mark.parametrize(
    ("module", "target", "precision"), [("modelopt", "tensorrt", "fp16"), ("nncf", "openvino", "int8")]
)
def test_what_is_not_installed_is_told(
    made: Lower, monkeypatch: pytest.MonkeyPatch, module: str, target: str, precision: Precision
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BuildError, match=r"is not installed here: run this with the Python of \.venv"):
        made(target, precision, calibration=np.zeros((500, 112, 112, 3), np.uint8))


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_quantised_layers_round_and_come_back_when_that_is_too_much(
    tmp_path: Path, made: Lower, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    path = _small_network(tmp_path / "small.onnx")
    calibration = pictures(500, size=standin.SIZE)
    monkeypatch.setattr(build.lowering.qdq_quantization, "MAX_DRIFT", 1e9)
    said: list[str] = []
    lowered = made("tensorrt-rtx", precision, network=path, calibration=calibration, progress=said.append)
    model = onnx.load(str(lowered.network))
    assert lowered.details["quantised"] == 2
    assert lowered.details["taken_back"] == 0
    assert {node.op_type for node in model.graph.node} >= {"QuantizeLinear", "DequantizeLinear"}
    types = set(element_types(model).values())
    assert (TensorProto.INT8 if precision == "int8" else TensorProto.FLOAT8E4M3FN) in types
    assert read_graph(lowered.network).metadata == read_graph(path).metadata
    assert "calibrating on" in said[0]
    monkeypatch.setattr(build.lowering.qdq_quantization, "MAX_DRIFT", 0.0)
    lowered = made("tensorrt", precision, network=path, calibration=calibration)
    assert lowered.details["taken_back"] == 2
    assert {kept.name for kept in lowered.excluded} >= {"fc1", "fc2", "fc3"}
    operations = {node.op_type for node in onnx.load(str(lowered.network)).graph.node}
    assert "QuantizeLinear" not in operations


def test_openvino_s_int8_is_an_ir_that_answers_as_the_network_does(tmp_path: Path, made: Lower) -> None:
    import openvino

    path = _small_network(tmp_path / "small.onnx")
    lowered = made("openvino", "int8", network=path, calibration=pictures(500, size=standin.SIZE))
    assert set(lowered.files) == {"model.xml", "model.bin", "metadata.json"}
    assert "contract" in lowered.files["metadata.json"].read_text()
    model = openvino.Core().read_model(str(lowered.network))
    assert "FakeQuantize" in {node.get_type_name() for node in model.get_ops()}
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    pixels = pictures(3, size=standin.SIZE, seed=1)
    assert np.allclose(compiled({"pixels": pixels})["age"], rounded(path)(pixels)["age"], atol=0.5)
    assert lowered.details["within_tolerance"]
    assert lowered.details["held_out_faces"] + lowered.details["calibration_faces"] <= 500


def test_quiet_is_quiet_but_for_what_is_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    import logging
    import warnings

    say = audible(print)
    with quiet("some.library") as said:
        logging.getLogger("some.library").info("chatter")
        print("noise")
        warnings.warn("beware", stacklevel=1)
        say("half done")
    assert capsys.readouterr() == ("half done\n", "")
    assert said == ["chatter"]


def _small_network(path: Path) -> Path:
    """Products between the pixels and `age`, and no normalisation, so that nothing is kept.

    The last has one column: modelopt leaves such ones as they are.
    """
    random = np.random.default_rng(0)
    contract: dict[str, Any] = standin.contract_of("age")
    path = standin.write(path, contract)
    model = onnx.load(str(path))
    shape = numpy_helper.from_array(np.array([-1, 48]), "flat")
    weights = [
        numpy_helper.from_array((random.normal(size=dims) * 0.1).astype(np.float32), name)
        for name, dims in (("w1", (48, 32)), ("w2", (32, 16)), ("w3", (16, 1)))
    ]
    scale = numpy_helper.from_array(np.array(1 / 255, np.float32), "scale")
    step = standin.SIZE // 4
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Mul", ["float", "scale"], ["scaled"], name="scale_pixels"),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2], name="planes"),
        helper.make_node(
            "AveragePool", ["planes"], ["pooled"], kernel_shape=[step] * 2, strides=[step] * 2, name="pool"
        ),
        helper.make_node("Reshape", ["pooled", "flat"], ["row"], name="row"),
        helper.make_node("MatMul", ["row", "w1"], ["hidden"], name="fc1"),
        helper.make_node("Relu", ["hidden"], ["active"], name="relu"),
        helper.make_node("MatMul", ["active", "w2"], ["last"], name="fc2"),
        helper.make_node("MatMul", ["last", "w3"], ["age"], name="fc3"),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.initializer[:]
    model.graph.initializer.extend([shape, scale, *weights])
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path
