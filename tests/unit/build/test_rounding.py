"""What a GPU's rounding does to a network shows on this CPU."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from build.errors import BuildError
from build.lowering.gpu_rounding import rounded

SIZE = 2
PIXELS = np.full((3, SIZE, SIZE, 3), 200, np.uint8)


def network(path: Path, nodes: list[onnx.NodeProto], *weights: onnx.TensorProto) -> Path:
    """A network from `pixels` to `answer`, fp32, whose nodes start from `x`."""
    entry = helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT)
    graph = helper.make_graph(
        [entry, *nodes],
        "small",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", SIZE, SIZE, 3])],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def scaled(path: Path, kind: int, *factors: float) -> Path:
    """A network that multiplies by these, one after another, in a 16-bit type."""
    nodes = [helper.make_node("Cast", ["x"], ["v0"], to=kind)]
    weights = []
    for number, factor in enumerate(factors):
        weights.append(helper.make_tensor(f"w{number}", kind, [1], [factor]))
        nodes.append(helper.make_node("Mul", [f"v{number}", f"w{number}"], [f"v{number + 1}"]))
    nodes.append(helper.make_node("Cast", [f"v{len(factors)}"], ["answer"], to=TensorProto.FLOAT))
    return network(path, nodes, *weights)


def test_an_overflow_in_fp16_is_seen_although_the_answer_would_fit(tmp_path: Path) -> None:
    infer = rounded(scaled(tmp_path / "model.onnx", TensorProto.FLOAT16, 5e4, 1e-4))
    assert np.isinf(infer(PIXELS)["answer"]).all()


def test_bf16_reaches_as_far_as_fp32_and_has_eight_digits(tmp_path: Path) -> None:
    answer = rounded(scaled(tmp_path / "model.onnx", TensorProto.BFLOAT16, 2.0**20, 2.0**-20))(PIXELS)
    assert (answer["answer"] == 200).all()
    # 201 * 1.0078125 = 202.57 lies between 202 and 203, which are 8 binary digits each.
    answer = rounded(scaled(tmp_path / "model.onnx", TensorProto.BFLOAT16, 1.0078125))(PIXELS + 1)
    assert (answer["answer"] == 203).all()


def test_fp16_is_rounded_behind_every_node(tmp_path: Path) -> None:
    # 2048 + 1 is no fp16 number: the sum of both ones is lost, one by one.
    nodes = [
        helper.make_node("Cast", ["x"], ["low"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["low", "one"], ["a"]),
        helper.make_node("Add", ["a", "one"], ["b"]),
        helper.make_node("Sub", ["b", "large"], ["c"]),
        helper.make_node("Cast", ["c"], ["answer"], to=TensorProto.FLOAT),
    ]
    weights = [
        numpy_helper.from_array(np.array([value], np.float16), name)
        for name, value in (("one", 1.0), ("large", 2048.0))
    ]
    pixels = np.zeros_like(PIXELS)
    path = network(tmp_path / "plain.onnx", nodes, *weights)
    assert (rounded(path)(pixels)["answer"] == -2046).all()
    nodes.insert(1, helper.make_node("Add", ["low", "large"], ["shifted"]))
    nodes[2] = helper.make_node("Add", ["shifted", "one"], ["a"])
    path = network(tmp_path / "shifted.onnx", nodes, *weights)
    assert (rounded(path)(pixels)["answer"] == 0).all()


@pytest.mark.parametrize(
    ("kind", "expected"), [(TensorProto.INT8, 127 * 1.5), (TensorProto.FLOAT8E4M3FN, 132 * 1.5)]
)
def test_quantised_tensors_are_computed_as_they_stand(tmp_path: Path, kind: int, expected: float) -> None:
    # 200 / 1.5 = 133: more than int8 holds, and between the fp8 numbers 128 and 144.
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["answer"]),
    ]
    scale = numpy_helper.from_array(np.array(1.5, np.float32), "scale")
    zero = helper.make_tensor("zero", kind, [], [0])
    answer = rounded(network(tmp_path / "model.onnx", nodes, scale, zero))(PIXELS)["answer"]
    assert answer[0, 0, 0, 0] == pytest.approx(expected if kind == TensorProto.INT8 else 128 * 1.5)


def test_a_network_with_a_branch_is_refused(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["low"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT16, None)],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["low"], to=TensorProto.FLOAT16),
        helper.make_node("If", ["yes"], ["b"], then_branch=branch, else_branch=branch, name="if_0"),
        helper.make_node("Cast", ["b"], ["answer"], to=TensorProto.FLOAT),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    with pytest.raises(BuildError, match="if_0 is a loop or a branch"):
        rounded(network(tmp_path / "model.onnx", nodes, yes))
