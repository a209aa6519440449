"""torch, ONNX Runtime and the served engine give the same heads for the same real crops."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import tritonclient.grpc as triton

from build.acceptance.comparison_pictures import real_crops
from build.acceptance.parity import differences, tolerances
from build.config import WEIGHTS
from build.detector import find_detector
from build.onnx_interface import read_graph
from deploy.gateway.operation.service import GatewayServer
from runtime.contract import Contract
from runtime.heads import heads_of
from tests.helpers import requests as asking
from training.models import ExportWrapper, load_checkpoint

BATCHES = (1, 3, 32)
CHECKPOINT = WEIGHTS.with_suffix(".safetensors")


@pytest.fixture(scope="module")
def crops() -> np.ndarray[Any, Any]:
    size = read_graph(WEIGHTS).contract.input_size
    return real_crops(asking.ASTRONAUT, detector=find_detector(), size=size, count=max(BATCHES))


@pytest.fixture(scope="module")
def torch_heads(crops: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    loaded = load_checkpoint(CHECKPOINT)
    with torch.no_grad():
        heads = ExportWrapper(loaded.model, loaded.contract)(torch.from_numpy(crops))
    return {name: tensor.numpy() for name, tensor in heads.items()}


def test_the_crops_are_different_faces(crops: np.ndarray[Any, Any]) -> None:
    assert crops.shape[0] == max(BATCHES)
    assert len({crop.tobytes() for crop in crops}) == max(BATCHES)


@pytest.mark.parametrize("batch", BATCHES)
def test_onnx_runtime_agrees_with_torch(
    crops: np.ndarray[Any, Any], torch_heads: dict[str, np.ndarray[Any, Any]], batch: int
) -> None:
    session = onnxruntime.InferenceSession(str(WEIGHTS), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answered = dict(zip(names, session.run(names, {"pixels": crops[:batch]}), strict=True))
    expected = {name: values[:batch] for name, values in torch_heads.items()}
    contract = read_graph(WEIGHTS).contract
    found = differences(contract, expected, answered, in_units=False)
    assert set(found) == set(names)
    assert max(found.values()) <= 1e-4, found


@pytest.mark.parametrize("batch", BATCHES)
def test_the_served_engine_agrees_with_torch(
    server: GatewayServer,
    crops: np.ndarray[Any, Any],
    torch_heads: dict[str, np.ndarray[Any, Any]],
    batch: int,
) -> None:
    with triton.InferenceServerClient(server.grpc_address) as client:
        parameters = client.get_model_config("face_engine").config.parameters
        contract = Contract.parse(parameters["contract"].string_value)
        answered = asking.ask(client, "face_engine", outputs=list(heads_of(contract)), pixels=crops[:batch])
    precision = parameters["precision"].string_value
    expected = {name: torch_heads[name][:batch] for name in heads_of(contract)}
    assert set(answered) == set(expected)
    found = differences(contract, expected, answered, in_units=precision != "fp32")
    allowed = tolerances(contract, precision=precision)
    assert all(found[name] <= allowed[name] for name in expected), found
