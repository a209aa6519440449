"""The reference of answers is measured on test faces alone, with the network as it is served."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build.acceptance.answer_reference import SUFFIX, answer_reference
from build.onnx_interface import read_graph
from deploy.monitoring.answer_reference import LEAST_DEVIATION, Moments, distance, main
from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.networks import standin_network as standin
from training.data.prepared.face_set import prepared_sets
from training.evaluation.predictors import onnx_predictor

TASKS = ("expression", "age", "landmarks")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, seed in (("one", 1), ("two", 2)):
        make_set(tmp_path / "data" / name, count=8, test=40, tasks=TASKS, seed=seed)
    return tmp_path / "data"


def network(folder: Path, **more: str) -> Path:
    contract = standin.contract_of(*TASKS)
    return standin.write(
        folder / "x.onnx", contract, metadata={"contract": json.dumps(contract)} | more, seed=4
    )


def test_mean_and_deviation_are_those_of_the_test_faces_of_all_sets(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = network(tmp_path, checkpoint_sha256="abc")
    assert main([str(weights), "--data", str(data), "--threads", "1"]) == 0
    content = json.loads(weights.with_suffix(SUFFIX).read_text())
    assert content["faces"] == {"one": 40, "two": 40}
    predict = onnx_predictor(weights, threads=1).predict
    crops = [faces.served_crops(np.arange(40), size=standin.SIZE) for faces in prepared_sets(data)]
    ages = np.concatenate([predict(each)["age"] for each in crops])[:, 0]
    assert content["answers"]["age"]["years"] == pytest.approx([ages.mean(), ages.std()], rel=1e-3)
    assert set(content["answers"]) == {"expression", "age"}  # no positions
    assert answer_reference(read_graph(weights)) == content["answers"]
    assert "| black |" in capsys.readouterr().out


def test_a_network_that_names_no_checkpoint_is_refused_with_a_sentence(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(network(tmp_path)), "--data", str(data)]) == 2
    assert "export it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("own", "apart"),
    [
        ((0.5, 0.2), (0.0, 1.0)),
        ((0.9, 0.2), (2.0, 1.0)),
        ((0.5, 0.8), (0.0, 4.0)),
        ((0.5, 0.0), (0.0, 0.2 / LEAST_DEVIATION)),
    ],
)
def test_distances_are_in_deviations_of_the_reference_and_tiny_ones_count_as_the_least(
    own: tuple[float, float], apart: tuple[float, float]
) -> None:
    def moments(mean: float, deviation: float) -> Any:
        return Moments(faces=1, mean=np.array([mean]), deviation=np.array([deviation]))

    assert distance(moments(*own), moments(0.5, 0.2)) == pytest.approx(apart)
