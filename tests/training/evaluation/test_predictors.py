"""A network predicts the same as a checkpoint, as an ONNX file and through a server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.gateway.operation.service import GatewayServer
from qface_client import contract, reading
from runtime.contract import Contract
from runtime.image.align import align_face
from runtime.postprocess import postprocess_all
from tests.helpers import fake_v2_server as fake_v2
from tests.helpers import requests as asking
from tests.helpers.faces.labelled_sets import SIZE
from tests.helpers.networks import standin_network as standin
from tests.helpers.networks.error_networks import ERRORS, error_checkpoint
from tests.helpers.paths import ROOT
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.evaluation.evaluate import (
    evaluate,
    summary,
    torch_predict,
)
from training.evaluation.predictors import (
    load_predictor,
    onnx_predictor,
    predictions_of_faces,
    server_predictor,
)
from training.models import CONFIGS, ExportWrapper
from training.tasks import CATALOGUE
from training.train.random_initialisation import random_checkpoint


def test_an_onnx_file_is_asked_by_its_own_contract(data: Path, tmp_path: Path) -> None:
    network = make_contract(
        [CATALOGUE[name] for name in ("age", "head_pose", "landmarks")], input_size=SIZE
    ).to_json()
    path = standin.write(tmp_path / "model.onnx", network)
    predictor = onnx_predictor(path)
    assert (predictor.input_size, predictor.contract) == (SIZE, network["hash"])
    sets = prepared_sets(data)
    found = summary(evaluate(predictor.predict, predictor.tasks, sets, input_size=SIZE, bootstrap=0))
    assert set(found) >= {"age on people", "head_pose on people", "landmarks on parts"}
    assert set(found["age on people"]) == {"faces", "mean_absolute_error", "ccc", "bias", "trivial"}


def test_the_client_s_answers_are_the_network_s(checkpoint: Path) -> None:
    """Heads -> the server's postprocessing -> the client -> heads again, for every kind of task."""
    predictor = load_predictor(str(checkpoint))
    network = Contract(version=1, input_size=predictor.input_size, tasks=predictor.tasks)
    assert network.hash == predictor.contract
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    heads = predictor.predict(crops)
    assert {entry.kind for entry in predictor.tasks} == {task.kind for task in CATALOGUE.values()}
    identity = np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1))
    tensors = postprocess_all(network, heads, identity)
    read = contract.parse_contract(network.to_text())
    again = predictions_of_faces(reading.read_tasks(tensors, tasks=read.tasks, count=3), read)
    assert set(again) == set(heads)
    for name, values in heads.items():
        assert again[name].shape == values.shape
        assert np.abs(again[name].astype(float) - values).max() < 1e-4, name


def test_the_client_s_expected_errors_are_the_network_s() -> None:
    """The same of T_error, of every kind that has one."""
    checkpoint = error_checkpoint()
    network = checkpoint.contract
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    heads = torch_predict(ExportWrapper(checkpoint.model, network))(crops)
    tensors = postprocess_all(network, heads, np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1)))
    read = contract.parse_contract(network.to_text())
    again = predictions_of_faces(reading.read_tasks(tensors, tasks=read.tasks, count=3), read)
    names = [f"{name}_error" for name in ERRORS]
    assert set(names) == {name for name in again if name.endswith("_error")}
    for name in names:
        assert again[name] == pytest.approx(heads[name], rel=1e-5)


def test_what_is_served_reaches_what_its_checkpoint_reaches(server: GatewayServer, tmp_path: Path) -> None:
    """The shipped weights on crops of the portrait, through torch and through the running server."""
    portrait = asking.astronaut()
    side = 112 + 2 * margin_of(112)
    rng = np.random.default_rng(0)
    made = []
    for number in range(40):
        crop, _ = align_face(portrait, landmarks=asking.LANDMARKS + rng.normal(0, 4, (5, 2)), size=side)
        years = int(rng.integers(20, 60))
        labels = {
            "age": [years, years],
            "gender": "female",
            "expression": "happiness" if number % 3 else "neutral",
            "head_pose": rng.uniform(-20, 20, 3).tolist(),
            "attributes": {"Smiling": float(number % 2), "Male": 0.0},
        }
        made.append(Face(key=str(number), pixels=crop, split="test", labels=labels))
    write_set(tmp_path / "portraits", made, title="Made", licence="CC0")
    sets = prepared_sets(tmp_path)
    found = []
    for predictor in (
        load_predictor(str(ROOT / "weights" / "qface-tiny.safetensors")),
        server_predictor(f"grpc://{server.grpc_address}"),
    ):
        rows = evaluate(
            predictor.predict, predictor.tasks, sets, input_size=predictor.input_size, bootstrap=0
        )
        found.append(summary(rows))
    trained, served = found
    assert set(trained) == set(served)
    assert len(trained) == 5
    for name, figures_of in trained.items():
        assert served[name] == pytest.approx(figures_of, abs=0.03, nan_ok=True), name


@pytest.fixture
def fake() -> Iterator[tuple[fake_v2.FakeServer, str]]:
    served = fake_v2.FakeServer(fake_v2.contract_of(fake_v2.classes("gender", ["female", "male"])))
    running = fake_v2.serve(served)
    yield served, next(running)
    running.close()


def test_a_server_s_labels_are_read_from_its_contract(
    fake: tuple[fake_v2.FakeServer, str], data: Path
) -> None:
    """Its labels stand in another order than the catalogue's; its first one always wins."""
    _, address = fake
    predictor = server_predictor(f"grpc://{address}")
    assert predictor.input_size == 128
    sets = [FaceSet(data / "people", split="test")]
    (row,) = evaluate(predictor.predict, predictor.tasks, sets, input_size=predictor.input_size, bootstrap=0)
    women = sets[0].columns["gender"][:, CATALOGUE["gender"].labels.index("female")].mean()
    assert row.values["top1_accuracy"].value == pytest.approx(women)


def test_a_server_whose_contract_changes_on_the_way_gives_no_table(
    fake: tuple[fake_v2.FakeServer, str], data: Path
) -> None:
    served, address = fake
    predictor = server_predictor(f"grpc://{address}")
    served.contract = fake_v2.contract_of(fake_v2.classes("gender", ["male", "female"]))
    with pytest.raises(ValueError, match="the server answers by contract"):
        predictor.predict(np.zeros((2, 128, 128, 3), np.uint8))


def test_torch_s_answers_come_from_the_device_that_holds_the_weights() -> None:
    checkpoint = random_checkpoint(CONFIGS["qface_test"], seed=0)
    answered = torch_predict(ExportWrapper(checkpoint.model, checkpoint.contract))(
        np.zeros((2, 64, 64, 3), np.uint8)
    )
    assert {name: len(values) for name, values in answered.items()} == dict.fromkeys(answered, 2)
    assert answered["parsing"].dtype == np.uint8
