"""What a LocalFaceClient can be made of, and the sentence about what it can't."""

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qface_client import ContractError, FaceClient, InvalidInput, NotServed, RequestTimeout, ServerError
from qface_client.local import LocalFaceClient, LocalTransport
from qface_client.transports import Infer, ReadModel
from tests.helpers.networks import standin_network as standin
from tests.helpers.paths import ROOT

REPOSITORY = ROOT / "var" / "test" / "repository"
NETWORK = ROOT / "weights" / "qface-tiny.onnx"
PORTRAIT = ROOT / "tests" / "assets" / "astronaut.jpg"


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("nowhere", {}, "nowhere is neither a model repository nor an ONNX file: `make repository`"),
        (ROOT, {}, "is neither a model repository nor an ONNX file"),
        (PORTRAIT, {}, "is no network of Q-Face with its contract in it"),
        (REPOSITORY, {"threads": 0}, "threads is 1 or more, not 0"),
        (REPOSITORY, {"detector": PORTRAIT}, "a repository has a detector of its own"),
        (NETWORK, {"detector": "nowhere.tflite"}, "there is no detector at nowhere.tflite"),
    ],
)
def test_what_it_cannot_be_made_of_is_named(source: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        LocalFaceClient(source, **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: unquoted", "is no model's configuration"),
        ('name: "photo_analysis"', "can't be used .*: assemble it again"),
    ],
)
def test_a_damaged_repository_is_named(tmp_path: Path, text: str, words: str) -> None:
    model = "models/photo_analysis"
    shutil.copytree(REPOSITORY / model, tmp_path / model)
    (tmp_path / model / "config.pbtxt").write_text(text)
    with pytest.raises(ContractError, match=words):
        LocalFaceClient(tmp_path)


def test_a_network_that_cannot_be_loaded_is_a_failure_of_the_server(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "models", tmp_path / "models", copy_function=os.symlink)
    (tmp_path / "models" / "face_engine" / "1" / "model.onnx").unlink()
    with LocalFaceClient(tmp_path) as client:
        assert len(client.detect(PORTRAIT)) == 1
        for call in (client.precision, lambda: client.analyze(PORTRAIT, tasks=["age"])):
            with pytest.raises(ServerError, match=r"can't be loaded .*no model file at"):
                call()


def test_a_network_that_states_errors_and_a_quality_is_answered_as_by_a_server(tmp_path: Path) -> None:
    contract = standin.stating_errors(standin.contract_of("age", "face_quality"), minimum=0.5)
    constants = {"age": 31.0, "age_error": 4.5, "face_quality": 0.75}
    with LocalFaceClient(standin.write(tmp_path / "n.onnx", contract, constants=constants)) as client:
        (face,) = found = client.analyze(PORTRAIT)
        assert (face.age.value, face.age.error, face.quality) == (31.0, 4.5, 0.75)
        assert found.faces_below_quality == 0
        left_out = client.analyze(PORTRAIT, tasks=["age"], min_quality=0.8)
        assert (len(left_out), left_out.faces_found, left_out.faces_below_quality) == (0, 1, 1)
        assert client.analyze_crop(np.zeros((40, 40, 3), np.uint8)).age.error == 4.5
        with pytest.raises(InvalidInput, match="min_quality"):
            client.analyze(PORTRAIT, min_quality=2)


def test_a_model_that_is_not_there_or_not_to_be_called_is_not_served() -> None:
    transport = LocalTransport(REPOSITORY)
    with pytest.raises(NotServed, match="does not serve 'mood'"):
        transport.read_model(ReadModel(model="mood", timeout=1))
    with pytest.raises(NotServed, match="does not serve 'face_engine'"):
        transport.infer(Infer(model="face_engine", inputs={}, outputs=(), timeout=1))


def test_a_call_that_has_no_turn_in_time_is_a_timeout() -> None:
    transport = LocalTransport(REPOSITORY, threads=1)
    for _ in range(2):
        transport._turns.acquire()
    with (
        FaceClient(transport=transport, timeout=0.2) as client,
        pytest.raises(RequestTimeout, match="no turn"),
    ):
        client.detect(np.zeros((8, 8, 3), np.uint8))


def test_a_client_that_is_closed_answers_no_more() -> None:
    client = LocalFaceClient(REPOSITORY)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.analyze(PORTRAIT)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (None, "LocalFaceClient needs Q-Face's runtime: install it by `pip install"),
        (
            ModuleSpec("runtime", None, origin="other.py"),
            r"another package is called `runtime` here \(other.py\)",
        ),
    ],
)
def test_without_the_extra_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, other: ModuleSpec | None, words: str
) -> None:
    def find(name: str) -> ModuleSpec | None:
        if name == "runtime":
            return other
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(ImportError, match=words) as failed:
        LocalFaceClient(REPOSITORY)
    assert "\n" not in str(failed.value)


def test_the_module_is_imported_without_what_it_computes_with() -> None:
    program = (
        "import sys, qface_client.local\n"
        "print([m for m in ('runtime', 'cv2', 'openvino', 'torch', 'onnx') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "client",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("[]\n", "")


def test_the_extra_names_the_libraries_of_the_runtime() -> None:
    def listed(path: str, begin: str) -> set[str]:
        text = (ROOT / path).read_text()
        return set(text[text.index(begin) :].partition("[")[2].partition("]")[0].replace(" ", "").split(","))

    extra = listed("client/pyproject.toml", "local = [")
    needed = listed("runtime/pyproject.toml", "dependencies = [")
    assert {entry.strip() for entry in needed if "numpy" not in entry} == {entry.strip() for entry in extra}
