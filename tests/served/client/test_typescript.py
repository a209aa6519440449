"""A client in another language, by the contract alone, answers what ours answers."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import Answer, Classification, FaceClient, Mask, MultiLabel, Points, Rotation, Value
from qface_client.kinds import KINDS
from tests.helpers.fake_v2_server import closed_port
from tests.helpers.paths import ROOT
from tests.helpers.typescript import SOURCE, compiled_client
from training.tasks import CATALOGUE

PORTRAIT = ROOT / "tests" / "assets" / "astronaut.jpg"
OUTSIDE = 255


@pytest.fixture(scope="module")
def program() -> Path:
    return compiled_client()


def run(program: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = ["node", *map(str, (program, *arguments))]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def in_words(answer: Answer) -> str:
    """Our client's answer in the program's words."""
    if isinstance(answer, Classification):
        return f"{answer.label} ({answer.probability:.3f})"
    if isinstance(answer, MultiLabel):
        return ", ".join(f"{label} ({answer[label]:.3f})" for label in answer.active) or "none"
    if isinstance(answer, Value):
        return f"{answer.value:.1f} {answer.unit}"
    if isinstance(answer, Rotation):
        return ", ".join(f"{label} {angle:.1f}" for label, angle in answer.angles.items())
    if isinstance(answer, Points):
        first = ", ".join(f"{edge:.1f}" for edge in answer.xy[0])
        return f"{len(answer.labels)} points, {answer.labels[0]} at [{first}]"
    assert isinstance(answer, Mask)
    height, width = answer.ids.shape
    present = [answer.labels[index] for index in np.unique(answer.ids) if index != OUTSIDE]
    return f"mask of [{height}, {width}] with {', '.join(present)}"


def test_every_kind_of_answer_is_our_clients(server: GatewayServer, program: Path) -> None:
    ended = run(program, PORTRAIT, server.grpc_address)
    assert (ended.returncode, ended.stderr) == (0, "")
    first, *lines = ended.stdout.splitlines()
    with FaceClient(server.grpc_address) as client:
        (face,) = client.analyze(PORTRAIT)
        assert {task.kind for task in client.contract().tasks} == set(KINDS)
    box = ", ".join(f"{edge:.1f}" for edge in face.box)
    assert first == f"face 1: box [{box}], score {face.score:.3f}"
    assert lines == [f"  {task}: {in_words(answer)}" for task, answer in face.answers.items()]


def test_a_photo_without_a_face_is_an_answer(server: GatewayServer, program: Path, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (200, 200), (128, 128, 128)).save(grey)
    ended = run(program, grey, server.grpc_address)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "no face\n", "")


def test_what_fails_is_one_line(server: GatewayServer, program: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_bytes(b"dear sir")
    for arguments, words in (
        ((tmp_path / "missing.jpg", server.grpc_address), "no such file"),
        ((letter, server.grpc_address), "INVALID_ARGUMENT: "),
        ((PORTRAIT, f"127.0.0.1:{closed_port()}"), "UNAVAILABLE: "),
        ((), "usage: "),
    ):
        ended = run(program, *arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert words in ended.stderr


def test_its_source_is_short_and_spells_out_no_task_and_no_label() -> None:
    text = (SOURCE / "qface.ts").read_text()
    assert len(text.splitlines()) < 150
    known = {name for task in CATALOGUE.values() for name in (task.name, *task.labels)}
    assert not known & set(re.findall(r'"([^"]*)"', text))
