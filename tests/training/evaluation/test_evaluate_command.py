"""The command evaluates a checkpoint, and names in one line what it can't evaluate."""

import json
from pathlib import Path

import pytest
import torch

from tests.helpers import fake_v2_server as fake_v2
from tests.helpers.faces.labelled_sets import SIZE
from tests.helpers.networks import standin_network as standin
from training.contract import make_contract
from training.data.prepared.face_set import prepared_sets
from training.evaluation.evaluate import _log_unfitted, main
from training.evaluation.predictors import load_predictor
from training.evaluation.report import write_text
from training.tasks import CATALOGUE


def test_a_checkpoint_is_evaluated_by_the_command_line(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    words = [str(checkpoint), "--data", str(data), "--bootstrap", "50", "--limit", "16"]
    files = ["--json", str(tmp_path / "e.json"), "--markdown", str(tmp_path / "e.md")]
    assert main([*words, *files]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "e.md").read_text().strip() == said.strip()
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["network"] == str(checkpoint)
    assert {(row["task"], row["set"]) for row in found["rows"]} == {
        ("action_units", "people"),
        ("age", "people"),
        ("gender", "people"),
        ("head_pose", "people"),
        ("landmarks", "parts"),
        ("parsing", "parts"),
    }
    assert all(row["faces"] <= 16 for row in found["rows"])
    assert not list(tmp_path.glob("*.partial"))
    again = ["--json", str(tmp_path / "again.json"), "--sets", ",parts"]
    assert main([*words, *again]) == 0
    repeated = json.loads((tmp_path / "again.json").read_text())["rows"]
    assert repeated == [row for row in found["rows"] if row["set"] == "parts"]


@pytest.mark.parametrize(
    ("network", "options", "sentence"),
    [
        ("{gone}", [], "gone does not exist"),
        ("{text}", [], "is not a safetensors file"),
        ("{onnx}", [], "is no ONNX file that can be run"),
        ("{bare}", [], "does not hold a whole contract"),
        ("{gone}.onnx", [], "does not exist"),
        ("{other}", [], "was trained on crops of the kind 'box'"),
        ("http://localhost:8000", [], "give grpc://host:port"),
        ("grpc://localhost:{port}", [], "no server answers at localhost"),
        ("{checkpoint}", ["--data", "{empty}"], "there is no prepared set"),
        ("{checkpoint}", ["--sets", "celeba"], "celeba"),
        ("{checkpoint}", ["--split", "validation"], "validation"),
        ("{checkpoint}", ["--limit", "-3"], "--limit must be 1 or more"),
        ("{checkpoint}", ["--seed", "-1"], "--seed -1 can't be one: take 0 or more"),
        (
            "{checkpoint}",
            ["--fit-thresholds", "validation"],
            "no set of parts, people has faces in v",
        ),
        ("{checkpoint}", ["--device", "abacus"], "'abacus' can't be used here"),
        ("{checkpoint}", ["--limit", "0"], "--limit must be 1 or more"),
        ("{checkpoint}", ["--json", "{text}/e.json", "--limit", "2", "--bootstrap", "0"], "can't be written"),
    ],
)
def test_what_can_t_be_evaluated_is_told_in_one_line(
    network: str,
    options: list[str],
    sentence: str,
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text").write_text("no network")
    (tmp_path / "broken.onnx").write_text("no network")
    (tmp_path / "empty").mkdir()
    standin.write(tmp_path / "bare.onnx", standin.contract_of("age"), metadata={})
    standin.write(
        tmp_path / "other.onnx", make_contract([CATALOGUE["age"]], input_size=SIZE, crop="box").to_json()
    )
    places = {
        "other": tmp_path / "other.onnx",
        "gone": tmp_path / "gone",
        "text": tmp_path / "text",
        "onnx": tmp_path / "broken.onnx",
        "bare": tmp_path / "bare.onnx",
        "empty": tmp_path / "empty",
        "checkpoint": checkpoint,
        "port": fake_v2.closed_port() if "port" in network else 0,
    }
    words = [word.format(**places) for word in (network, "--data", str(data), *options)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("training.evaluation.evaluate: ")
    assert said.count("\n") == 1
    assert sentence in said


def test_sets_without_a_fitted_threshold_are_named(
    checkpoint: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = load_predictor(str(checkpoint), device="cpu")
    sets = prepared_sets(data)
    _log_unfitted(predictor, sets, fitting=sets, split="train")
    assert not capsys.readouterr().err
    _log_unfitted(predictor, sets, fitting=[], split="train")
    assert "no threshold was fitted for people: no face in train" in capsys.readouterr().err


def test_a_file_that_can_t_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.md"
    path.write_text("before")

    def full(self: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ValueError, match="No space left on device"):
        write_text(path, "after")
    assert path.read_text() == "before"
