"""FaceXFormer exported: any batch, the golden answers in ONNX Runtime and behind a server.

One export of the whole network takes most of this file's time; everything else is tried on a small one.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import tritonclient.grpc as triton

import build.onnx_export
import build.stages.export
from build.acceptance.comparison_pictures import pictures
from build.acceptance.parity import differences, tolerances
from build.onnx_interface import read_graph
from deploy.gateway.operation.service import GatewayServer
from runtime.contract import Contract
from runtime.engines.openvino import OpenVinoEngine
from runtime.kinds.base import FULL_PRECISION
from tests.helpers.gateways import PATIENT
from tests.helpers.networks.released_facexformer import (
    IMAGES,
    assert_golden,
    behind_normalisation,
    golden_input,
    released_state,
)
from tests.helpers.paths import ROOT
from tests.helpers.tiny_repository import seal
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


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_engines_answer_any_batch_as_torch_does(checkpoint: Path, exported: Path, batch: int) -> None:
    loaded = load_checkpoint(checkpoint)
    pixels = pictures(batch, size=SMALL.input_size, seed=9)
    with torch.no_grad():
        answered = ExportWrapper(loaded.model, loaded.contract)(torch.from_numpy(pixels))
    expected = {name: tensor.numpy() for name, tensor in answered.items()}
    contract = loaded.contract
    allowed = tolerances(contract, precision="fp32")
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    names = list(expected)
    for engine, answers in {
        "ONNX Runtime": dict(zip(names, session.run(names, {"pixels": pixels}), strict=True)),
        "OpenVINO": OpenVinoEngine(exported, precision="fp32").infer({"pixels": pixels}),
    }.items():
        apart = differences(contract, expected, answers, in_units=False)
        assert all(apart[name] <= allowed[name] for name in names), (engine, apart)


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


@pytest.fixture(scope="module")
def golden_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contract]:
    """The whole network by the golden rule, from its first convolution on, and its contract."""
    model = FaceXFormer(FaceXFormerConfig()).eval()
    model.load_state_dict(converted(released_state(), model=model))
    model.set_explicit_attention()
    contract = model.contract()
    with torch.no_grad():
        whole = build.onnx_export._to_onnx(
            ExportWrapper(model, contract), size=224, outputs=list(contract.names)
        )
    path = tmp_path_factory.mktemp("golden") / "model.onnx"
    onnx.save(behind_normalisation(whole), path)
    return path, contract


def test_onnx_runtime_gives_the_official_code_s_answers(golden_network: tuple[Path, Contract]) -> None:
    path, contract = golden_network
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = list(contract.names)
    assert_golden(dict(zip(names, session.run(names, {IMAGES: golden_input().numpy()}), strict=True)))


@pytest.fixture
def serving(
    golden_network: tuple[Path, Contract], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayServer]:
    """A server of this one face_engine, which takes normalised images instead of pixels."""
    path, _ = golden_network
    folder = tmp_path_factory.mktemp("repository")
    place = folder / "models" / "face_engine"
    (place / "1").mkdir(parents=True)
    shutil.copytree(
        ROOT / "runtime", folder / "lib" / "runtime", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "model_repository" / "face_engine" / "1" / "model.py", place / "1")
    path.rename(place / "1" / "model.onnx")
    parameters = {
        "contract": r"{\"hash\":\"none\"}",
        "runtime": "openvino",
        "file": "model.onnx",
        "precision": "fp32",
    }
    parameters |= {"threads": "0", "streams": "1"}
    outputs = {
        value.name: value.type.tensor_type for value in onnx.load(place / "1" / "model.onnx").graph.output
    }
    text = 'backend: "python"\nmax_batch_size: 2\ninstance_group { kind: KIND_CPU count: 1 }\n'
    text += f'input {{ name: "{IMAGES}" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }}\n'
    for name, tensor in outputs.items():
        kind = "TYPE_UINT8" if tensor.elem_type == onnx.TensorProto.UINT8 else "TYPE_FP32"
        dims = ", ".join(str(dim.dim_value) for dim in tensor.shape.dim[1:])
        text += f'output {{ name: "{name}" data_type: {kind} dims: [ {dims} ] }}\n'
    for key, value in parameters.items():
        text += f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
    (place / "config.pbtxt").write_text(text)
    seal(folder)
    with (
        (folder.parent / "golden-server.log").open("w") as sink,
        GatewayServer(folder, log=sink, arguments=PATIENT) as server,
    ):
        yield server


def test_a_served_engine_gives_the_official_code_s_answers(serving: GatewayServer) -> None:
    images = triton.InferInput(IMAGES, (2, 3, 224, 224), "FP32")
    images.set_data_from_numpy(golden_input().numpy())
    with triton.InferenceServerClient(serving.grpc_address) as client:
        answer = client.infer("face_engine", [images], client_timeout=300)
    assert_golden({output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs})
