"""A network that reads its answers off the pixels, and pictures painted for it.

Class of a pixel's mask: its red, in steps of 20, up to the last class. Points: fixed places in the crop.
Visible: the first half of the labels. So a test can say exactly what must come back, whatever happens to the
picture on the way.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.contract import make_contract
from training.tasks import CATALOGUE

SIZE = 64
STEP = 20  # of red from class to class
TASKS = ("landmarks", "visibility", "parsing_lapa")


def contract(*tasks: str, crop: str = "aligned") -> dict[str, Any]:
    """Its contract."""
    return make_contract([CATALOGUE[name] for name in tasks or TASKS], input_size=SIZE, crop=crop).to_json()


def points(count: int) -> NDArray[np.float32]:
    """Where the network sees points [count, 2] in its crop: on a circle around the middle."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return (SIZE / 2 - 0.5 + 20 * np.stack([np.cos(turn), np.sin(turn)], axis=1)).astype(np.float32)


def write(path: Path, said: Mapping[str, Any]) -> Path:
    """The network as an ONNX file."""
    zero = ["zero"]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "all"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], zero),
    ]
    constants = {"all": np.array([1, 2, 3]), "nothing": np.float32(0)}
    outputs = []
    for entry in said["tasks"]:
        name, count = entry["name"], len(entry["labels"])
        datatype, shape = TensorProto.FLOAT, [count]
        if entry["kind"] == "mask":
            datatype, shape = TensorProto.UINT8, [SIZE, SIZE]
            constants |= {"red": np.array(0), "step": np.float32(STEP), "half": np.float32(STEP / 2)}
            constants |= {"last": np.float32(count - 1)}
            nodes += [
                helper.make_node("Gather", ["float", "red"], ["reds"], axis=3),
                helper.make_node("Add", ["reds", "half"], ["rounded"]),
                helper.make_node("Div", ["rounded", "step"], ["steps"]),
                helper.make_node("Min", ["steps", "last"], ["classes"]),
                helper.make_node("Cast", ["classes"], [name], to=TensorProto.UINT8),
            ]
        else:
            values = (np.arange(count) < count / 2).astype(np.float32)
            if entry["kind"] == "points":
                values, shape = points(count), [count, 2]
            constants |= {f"{name}_is": values[None], f"{name}_as": np.array([-1] + [1] * len(shape))}
            nodes += [
                helper.make_node("Reshape", ["zero", f"{name}_as"], [f"{name}_zero"]),
                helper.make_node("Add", [f"{name}_zero", f"{name}_is"], [name]),
            ]
        outputs.append(helper.make_tensor_value_info(name, datatype, ["batch", *shape]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "painted", [pixels], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"contract": json.dumps(said)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def picture(width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Patches of red [height, width, 3], and the class [height, width] of each of its pixels, 1 to 5."""
    rows, columns = np.mgrid[:height, :width]
    ids = (1 + (rows // 60 + 2 * (columns // 60)) % 5).astype(np.uint8)
    painted = np.zeros((height, width, 3), np.uint8)
    painted[..., 0] = ids * STEP
    return painted, ids
