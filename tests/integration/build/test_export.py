"""An exported file answers as the checkpoint does, says what it is, and holds its weights as fp16."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import build.onnx_export
import build.stages.export
from build.acceptance.comparison_pictures import pictures
from build.acceptance.reference import load_reference, reference_path
from build.errors import BuildError
from build.onnx_interface import read_graph
from runtime.engines.openvino import OpenVinoEngine
from training.contract import make_contract
from training.models import CONFIGS, Checkpoint, ExportWrapper, build_qface, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.tasks import QFACE_TASKS, select


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights; of its tasks it learned the six first ones, without AU9."""
    torch.manual_seed(3)
    model = build_qface(CONFIGS["qface_quick"])
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # trained ones are not zero, and a bias of zero can't go to the wrong place
            torch.nn.init.normal_(parameter, std=0.1)
    round_to_half(model)
    trained = {task.name: [label for label in task.labels if label != "AU9"] for task in select(QFACE_TASKS)}
    contract = make_contract(model.tasks, input_size=model.config.input_size, trained=trained)
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    save_checkpoint(path, Checkpoint(model=model.eval(), contract=contract, card={"note": "random"}))
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    path = checkpoint.with_name("random.onnx")
    assert build.stages.export.main([str(checkpoint), "--output", str(path)]) == 0
    return path


def test_the_file_says_what_it_answers_and_what_it_was_made_of(checkpoint: Path, exported: Path) -> None:
    graph = read_graph(exported)
    loaded = load_checkpoint(checkpoint)
    assert graph.contract == loaded.contract
    assert tuple(graph.heads) == loaded.contract.names
    assert graph.heads["action_units"].dims == (11,)
    assert json.loads(graph.metadata["config"])["name"] == "qface_quick"
    assert json.loads(graph.metadata["card"]) == {"note": "random"}
    assert graph.metadata["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    reference = load_reference(reference_path(exported), network=graph.sha256)
    assert set(reference.answers) == set(graph.contract.names)


@pytest.mark.parametrize("batch", [1, 5, 32])
def test_onnx_runtime_answers_any_batch_as_torch_does(checkpoint: Path, exported: Path, batch: int) -> None:
    loaded = load_checkpoint(checkpoint)
    pixels = pictures(batch, size=loaded.contract.input_size, seed=9)
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = ExportWrapper(loaded.model, loaded.contract)(torch.from_numpy(pixels))
    answers = dict(zip(expected, session.run(list(expected), {"pixels": pixels}), strict=True))
    for name, tensor in expected.items():
        answered = answers[name]
        np.testing.assert_allclose(answered, tensor.numpy(), rtol=0, atol=1e-4, err_msg=name)
        if batch > 1:
            assert np.abs(answered[0] - answered[1]).max() > 0, f"{name} does not depend on the picture"


@pytest.mark.parametrize("batch", [1, 2, 5, 32])
def test_openvino_answers_any_batch_as_onnx_runtime_does(exported: Path, batch: int) -> None:
    pixels = pictures(batch, size=read_graph(exported).contract.input_size, seed=9)
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    answers = OpenVinoEngine(exported, precision="fp32").infer({"pixels": pixels})
    for name, expected in zip(answers, session.run(list(answers), {"pixels": pixels}), strict=True):
        np.testing.assert_allclose(answers[name], expected, rtol=0, atol=1e-4, err_msg=name)


def test_the_report_records_the_parity_of_every_output_at_every_batch(exported: Path) -> None:
    report = json.loads(exported.with_name("random.onnx.json").read_text())
    assert report["onnx_sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert set(report["parity"]) == {"1", "3", "32"}
    for by_output in report["parity"].values():
        assert set(by_output) == set(read_graph(exported).heads)
        assert max(by_output.values()) <= 1e-4


def test_weights_lie_in_the_file_as_fp16_and_lose_nothing(checkpoint: Path, exported: Path) -> None:
    model = onnx.load(exported)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) >= 5_000]
    halves = [tensor for tensor in large if tensor.data_type == onnx.TensorProto.FLOAT16]
    assert sum(np.prod(tensor.dims) for tensor in halves) > 0.9 * sum(
        parameter.numel() for parameter in load_checkpoint(checkpoint).model.parameters()
    )
    assert exported.stat().st_size < 1.1 * checkpoint.stat().st_size


def test_layer_normalisation_stays_one_node(checkpoint: Path, exported: Path) -> None:
    nodes = [node.op_type for node in onnx.load(exported).graph.node]
    norms = [m for m in load_checkpoint(checkpoint).model.modules() if isinstance(m, torch.nn.LayerNorm)]
    before_the_first_face, of_masks = 2, 1  # which this network never learned
    assert nodes.count("LayerNormalization") == len(norms) - before_the_first_face - of_masks > 0


def test_what_is_the_same_for_every_face_is_a_constant(exported: Path) -> None:
    graph = onnx.load(exported).graph
    of_faces = {"pixels"}
    for node in graph.node:
        if of_faces.intersection(node.input):
            of_faces.update(node.output)
        else:  # a weight's way out of fp16
            assert node.op_type == "Cast", node.name
    first = "model.decoder.blocks.0.self_attention"
    assert not any(tensor.name.startswith(first) for tensor in graph.initializer)


def test_the_graph_computes_no_shapes(exported: Path) -> None:
    """They keep engines from fusing what stands around them."""
    nodes = {node.op_type for node in onnx.load(exported).graph.node}
    assert nodes.isdisjoint({"Shape", "Expand", "GatherND", "ScatterND", "Einsum"})


def test_openvino_finds_the_attention(exported: Path) -> None:
    """Where it does not, each attention leaves a softmax of its own in what is executed."""
    import openvino

    compiled = openvino.Core().compile_model(str(exported), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    executed = [str(op.get_rt_info()["layerType"].value) for op in compiled.get_runtime_model().get_ops()]
    answers = [entry.name for entry in read_graph(exported).contract.tasks if entry.kind == "classes"]
    assert executed.count("Softmax") == len(answers) + len(CONFIGS["qface_quick"].distributions)


def test_the_file_names_no_place_of_the_machine_that_made_it(exported: Path) -> None:
    content = exported.read_bytes()
    for trace in (str(Path.cwd()).encode(), b"site-packages", b".py", b"stack_trace"):
        assert trace not in content


def test_weights_that_are_not_fp16_numbers_are_refused() -> None:
    values = np.linspace(0, 1, 1000, dtype=np.float32)
    model = onnx.helper.make_model(
        onnx.helper.make_graph([], "g", [], [], [onnx.numpy_helper.from_array(values, "model.weight")])
    )
    with pytest.raises(BuildError, match=r"model\.weight is not rounded to fp16"):
        build.onnx_export._halve(model, lossless=["weight"])


def test_an_export_that_answers_differently_is_not_written(
    checkpoint: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def wrong(*args: Any, **kwargs: Any) -> onnx.ModelProto:
        model = onnx.load(exported)  # the right one
        for tensor in model.graph.initializer:
            if tensor.name.endswith("queries") or "query" in tensor.name:
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values * 2, tensor.name))
        return model

    monkeypatch.setattr(build.onnx_export, "_to_onnx", wrong)
    output = tmp_path / "out" / "x.onnx"
    assert build.stages.export.main([str(checkpoint), "--output", str(output)]) == 2
    assert "ONNX Runtime differs from torch by" in capsys.readouterr().err
    assert list(output.parent.iterdir()) == []


def test_what_is_no_checkpoint_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("no weights")
    for path in (text, tmp_path / "gone.safetensors"):
        assert build.stages.export.main([str(path), "--output", str(tmp_path / "x.onnx")]) == 2
        said = capsys.readouterr().err
        assert str(path) in said
        assert said.count("\n") == 1
    assert not (tmp_path / "x.onnx").exists()
