"""Two clients that import nothing of ours learn labels and units from the server, and say what ours says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import Classification, Face, FaceClient, Rotation, Value
from tests.helpers.fake_v2_server import closed_port
from tests.helpers.paths import ROOT
from training.tasks import CATALOGUE

PORTRAIT = ROOT / "tests" / "assets" / "astronaut.jpg"
EXAMPLES = [ROOT / "client" / "examples" / name for name in ("plain_tritonclient.py", "raw_grpc.py")]


@pytest.fixture(scope="module")
def face(server: GatewayServer) -> Face:
    with FaceClient(server.grpc_address) as client:
        return client.analyze(PORTRAIT)[0]


def run(example: Path, url: str, *, folder: Path) -> str:
    """What an example prints, run from a folder where nothing of ours can be imported."""
    command = [sys.executable, "-I", str(example), str(PORTRAIT), url]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_says_what_our_client_says(
    server: GatewayServer, face: Face, example: Path, tmp_path: Path
) -> None:
    printed = run(example, server.grpc_address, folder=tmp_path)
    said = dict(re.findall(r"^  (\w+): (.*)$", printed, flags=re.MULTILINE))
    assert list(said) == list(face.answers)
    assert printed.startswith("face 1: box [")
    for task, answer in face.answers.items():
        if isinstance(answer, Classification):
            assert said[task] == f"{answer.label} ({answer.probability:.3f})"
        elif isinstance(answer, Value):
            assert said[task] == f"{answer.value:.1f} {answer.unit}"
        elif isinstance(answer, Rotation):
            assert said[task] == ", ".join(f"{label} {angle:.1f}" for label, angle in answer.angles.items())


def attempt(example: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", str(example), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_photo_without_a_face_is_said(server: GatewayServer, example: Path, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (200, 200), (128, 128, 128)).save(grey)
    ended = attempt(example, str(grey), server.grpc_address)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "no face\n", "")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_fails_is_one_line(server: GatewayServer, example: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_bytes(b"dear sir")
    for photo, url, words in (
        (tmp_path / "missing.jpg", server.grpc_address, "No such file"),
        (letter, server.grpc_address, "INVALID_ARGUMENT"),
        (PORTRAIT, f"127.0.0.1:{closed_port()}", "UNAVAILABLE"),
    ):
        ended = attempt(example, str(photo), url)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert words in ended.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_imports_nothing_of_ours_and_spells_out_no_label(example: Path) -> None:
    nodes = list(ast.walk(ast.parse(example.read_text())))
    imported = {
        alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported <= {"grpc", "tritonclient", "numpy", *sys.stdlib_module_names}
    strings = {node.value for node in nodes if isinstance(node, ast.Constant)}
    known = {name for task in CATALOGUE.values() for name in (task.name, *task.labels)}
    assert not strings & known


def test_the_raw_client_uses_nothing_of_tritonclient_but_the_protocols_stubs() -> None:
    nodes = ast.walk(ast.parse(EXAMPLES[1].read_text()))
    names = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {name for name in names if "service" in name} == {"service_pb2", "service_pb2_grpc"}
    assert "InferenceServerClient" not in EXAMPLES[1].read_text()
