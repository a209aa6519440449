"""FaceXFormer exported: any batch and the released shape, in ONNX Runtime and OpenVINO.

One export in the released shape takes most of this file's time; everything else is tried on a small network.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import build.onnx_export
import build.stages.export
from build.acceptance.comparison_pictures import pictures
from build.acceptance.parity import differences, tolerances
from build.onnx_interface import read_graph
from runtime.engines.openvino import OpenVinoEngine
from runtime.kinds.base import FULL_PRECISION
from tests.helpers.networks.released_facexformer import released_state
from training.models import (
    Checkpoint,
    ExportWrapper,
    FaceXFormer,
    FaceXFormerConfig,
    load_checkpoint,
    save_checkpoint,
)
from training.models.facexformer.convert import converted
from training.tasks import FACEXFORMER_TASKS

pytestmark = pytest.mark.heavy  # `test_export.py` exports a smaller network of ours

# Its first stages are cut into shifted windows that don't fit, the others are one window.
SMALL = FaceXFormerConfig(
    name="small",
    input_size=64,
    encoder_options={"embed_dim": 32, "depths": (2, 1, 1, 1), "num_heads": (1, 2, 4, 8)},
    width=32,
    heads=4,
    hidden=64,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    model = FaceXFormer(SMALL).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # of zero it can't go to the wrong place
            torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("facexformer") / "small.safetensors"
    save_checkpoint(path, Checkpoint(model=model, contract=model.contract(), card={}, weights="fp32"))
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    path = checkpoint.with_name("small.onnx")
    assert build.stages.export.main([str(checkpoint), "--output", str(path)]) == 0
    return path


def assert_engines_answer_as_torch(wrapper: ExportWrapper, exported: Path, *, batch: int) -> None:
    contract = wrapper.contract
    pixels = pictures(batch, size=contract.input_size, seed=9)
    with torch.no_grad():
        answered = wrapper(torch.from_numpy(pixels))
    expected = {name: tensor.numpy() for name, tensor in answered.items()}
    allowed = tolerances(contract, precision="fp32")
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    names = list(expected)
    for engine, answers in {
        "ONNX Runtime": dict(zip(names, session.run(names, {"pixels": pixels}), strict=True)),
        "OpenVINO": OpenVinoEngine(exported, precision="fp32").infer({"pixels": pixels}),
    }.items():
        apart = differences(contract, expected, answers, in_units=False)
        assert all(apart[name] <= allowed[name] for name in names), (engine, apart)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_engines_answer_any_batch_as_torch_does(checkpoint: Path, exported: Path, batch: int) -> None:
    loaded = load_checkpoint(checkpoint)
    assert_engines_answer_as_torch(ExportWrapper(loaded.model, loaded.contract), exported, batch=batch)


def test_the_file_says_how_faces_are_cut_and_serves_every_task(exported: Path) -> None:
    graph = read_graph(exported)
    assert graph.contract.crop == "box"
    assert list(graph.contract.names) == list(FACEXFORMER_TASKS)
    named = [entry.name for entry in graph.contract.tasks if not entry.served_by_default]
    assert named == ["race_utkface"]  # as race always is: served only where it is named
    assert graph.heads["parsing_lapa"].dims == (64, 64)
    assert json.loads(graph.metadata["config"])["name"] == "small"


def test_weights_in_fp32_stay_so(checkpoint: Path, exported: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    assert loaded.weights == "fp32"
    tensors = onnx.load(exported).graph.initializer
    single = sum(int(np.prod(t.dims)) for t in tensors if t.data_type == onnx.TensorProto.FLOAT)
    matrices = sum(p.numel() for p in loaded.model.parameters() if p.ndim > 1)
    assert single > 0.95 * matrices  # what queries go through before they meet a face is folded
    report = json.loads(exported.with_name("small.onnx.json").read_text())
    assert max(by["attributes"] for by in report["parity"].values()) <= FULL_PRECISION


def test_the_graph_computes_no_shapes(exported: Path) -> None:
    nodes = {node.op_type for node in onnx.load(exported).graph.node}
    assert nodes.isdisjoint({"Shape", "Expand", "GatherND", "ScatterND", "Einsum", "Mod", "If", "Loop"})


def test_engines_answer_as_torch_does_in_the_released_shape(tmp_path: Path) -> None:
    """With the released sizes and widths, where windows fit, and two blocks of each stage, one shifted.

    All 24 blocks answer as the official code does in torch: tests/training/models/test_facexformer.py.
    """
    depths = (2, 2, 2, 2)
    model = FaceXFormer(FaceXFormerConfig(encoder_options={"depths": depths})).eval()
    model.load_state_dict(converted(first_blocks(released_state(), depths), model=model))
    model.set_explicit_attention()
    wrapper = ExportWrapper(model, model.contract())
    exported = build.onnx_export._to_onnx(wrapper, size=224, outputs=list(wrapper.contract.names))
    onnx.save(exported, tmp_path / "model.onnx")
    assert_engines_answer_as_torch(wrapper, tmp_path / "model.onnx", batch=2)


def first_blocks(state: Mapping[str, torch.Tensor], depths: Sequence[int]) -> dict[str, torch.Tensor]:
    """The released state with so many of each stage's blocks."""
    further = tuple(
        f"backbone.0.{2 * stage + 1}.{block}."
        for stage, depth in enumerate(depths)
        for block in range(depth, 18)
    )
    return {name: value for name, value in state.items() if not name.startswith(further)}
