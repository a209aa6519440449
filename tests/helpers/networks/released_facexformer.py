"""The released FaceXFormer's checkpoint as its own code would hold it, filled by a rule instead of training.

tests/assets/facexformer/ has the names and shapes of its 505 entries and what the official code answers
when each is filled from its name alone.
"""

import json
import zlib

import numpy as np
import onnx
import torch
import torchvision

from tests.helpers.paths import ASSETS
from training.models.export_wrapper import physical
from training.models.facexformer.network import raw_answers
from training.tasks import CATALOGUE

IMAGES = "images"
ASSETS = ASSETS / "facexformer"


def released_state() -> dict[str, torch.Tensor]:
    """The state dict under `state_dict_backbone`, filled by the golden rule."""
    entries = json.loads((ASSETS / "facexformer_state_dict.json").read_text())
    own = torchvision.models.swin_b(weights=None).state_dict()  # integers are the network's own
    return {
        name: _filled(name, entry["shape"])
        if entry["dtype"].startswith("float")
        else own["features." + name.removeprefix("backbone.0.")]
        for name, entry in entries.items()
    }


def _filled(name: str, shape: list[int]) -> torch.Tensor:
    values = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if len(shape) == 1:
        values = 1 + 0.1 * values if name.endswith("weight") else 0.02 * values
    elif "gaussian_matrix" not in name:
        values /= np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def golden_input() -> torch.Tensor:
    """Two normalised images [2, 3, 224, 224]."""
    values = np.random.Generator(np.random.PCG64(7)).standard_normal((2, 3, 224, 224))
    return torch.from_numpy(values.astype(np.float32))


def golden_answers() -> dict[str, np.ndarray]:
    """The official code's answers; `parsing_sub` is every fourth pixel, `parsing_mean` the mean of all."""
    with np.load(ASSETS / "facexformer_golden.npz") as file:
        return dict(file)


def golden_physical() -> dict[str, np.ndarray]:
    """The official answers as a served network gives them, put through the same softmax and the like.

    Of `parsing_lapa` it is the likeliest class of every fourth pixel, 255 where two classes are so near each
    other that rounding decides.
    """
    golden = {name: torch.from_numpy(values) for name, values in golden_answers().items()}
    raw = raw_answers({**golden, "head_pose": golden["headpose"], "parsing": golden["parsing_sub"]})
    answers = {
        name: physical(CATALOGUE[name], values, input_size=224).numpy() for name, values in raw.items()
    }
    best = np.sort(golden["parsing_sub"].numpy(), axis=1)
    sure = best[:, -1] - best[:, -2] > 2e-4
    classes = golden["parsing_sub"].numpy().argmax(axis=1)
    answers["parsing_lapa"] = np.where(sure, classes, 255).astype(np.uint8)
    return answers


def assert_golden(answers: dict[str, np.ndarray]) -> None:
    """That a served network's answers to `golden_input` are the official ones within 1e-4."""
    golden = golden_physical()
    assert answers.keys() == golden.keys()
    masks = golden.pop("parsing_lapa")
    sure = masks != 255
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(answers["parsing_lapa"][:, ::4, ::4][sure], masks[sure])
    for name, expected in golden.items():
        unit = {"landmarks": 112, "age": 20}.get(name, 1)  # half a side of pixels to one of theirs; years
        np.testing.assert_allclose(answers[name] / unit, expected / unit, atol=1e-4, rtol=0, err_msg=name)


def behind_normalisation(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph from the first convolution on: `images` FP32 [B, 3, S, S] in, as the golden input is."""
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    graph = cut.graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    size = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    first.input[0] = IMAGES
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    assert graph.input[0].name not in needed
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.input[:]
    graph.input.append(
        onnx.helper.make_tensor_value_info(IMAGES, onnx.TensorProto.FLOAT, ["batch", 3, size, size])
    )
    return cut
