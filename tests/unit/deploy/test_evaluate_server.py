"""`make evaluate` serves every task aside from what is served, and always stops its server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build.serving.plan_overrides import PlanOverrides
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy import evaluate_server
from tests.helpers.networks import standin_network as standin

TASKS = ("age", "race", "landmarks")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network of which `age` alone is served."""
    weights = standin.write(tmp_path / "standin.onnx", standin.contract_of(*TASKS))
    repository = assemble(ServingPlan(weights=weights, tasks=("age",)), output=tmp_path / "var")
    monkeypatch.setattr(evaluate_server, "VAR", tmp_path / "var")
    return repository


class FakeServer:
    """Counts how often it was started and stopped."""

    running: list[Path] = []  # noqa: RUF012

    def __init__(self, repository: Path, **_: Any) -> None:
        self.repository, self.grpc_address = repository, "localhost:1"

    def __enter__(self) -> "FakeServer":
        self.running.append(self.repository)
        return self

    def __exit__(self, *_: object) -> None:
        self.running.remove(self.repository)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeServer]]:
    monkeypatch.setattr(evaluate_server, "GatewayServer", FakeServer)
    yield FakeServer
    assert not FakeServer.running


def test_all_tasks_of_what_is_served_are_assembled_elsewhere(served: Path, tmp_path: Path) -> None:
    made = evaluate_server.assemble_all_tasks(PlanOverrides(), output=tmp_path / "aside")
    assert json.loads((made / "manifest.json").read_text())["tasks"] == list(TASKS)
    assert made.parent == tmp_path / "aside"
    assert (tmp_path / "var" / "repository").resolve() == served.resolve()
    assert json.loads((served / "manifest.json").read_text())["tasks"] == ["age"]


@pytest.mark.parametrize("status", [0, 2])
def test_the_words_go_on_and_the_status_comes_back(
    served: Path, server: type[FakeServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert len(server.running) == 1
        asked.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(evaluate_server, "subprocess", SimpleNamespace(run=run))
    words = ["--data", "prepared", "--photos", "fairface=DIR", "celeba=DIR", "--beside", "x.safetensors"]
    assert evaluate_server.main(["--output", str(tmp_path / "aside"), *words]) == status
    (command,) = asked
    assert command[1:4] == ["-m", "training.evaluation.evaluate", "grpc://localhost:1"]
    assert command[-len(words) :] == words
    assert str(tmp_path / "var" / "evaluation.md") in command


def test_beside_what_is_served_stands_the_checkpoint_that_it_came_from(
    server: type[FakeServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(evaluate_server, "VAR", tmp_path / "var")
    (tmp_path / "var").mkdir()
    monkeypatch.setattr(evaluate_server, "subprocess", SimpleNamespace(run=run))
    aside = ["--output", str(tmp_path / "aside")]
    assert evaluate_server.main([*aside, "--weights", "weights/qface-tiny-open.onnx"]) == 0
    assert asked[-1][-2:] == ["--beside", "weights/qface-tiny-open.safetensors"]
    words = [*aside, "--measure", "targets", "--weights", "weights/qface-tiny-open.onnx"]
    assert evaluate_server.main(words) == 0
    assert asked[-1][1:4] == ["-m", "training.evaluation.targets", "grpc://localhost:1"]
    assert asked[-1][-2:] == ["--name", "qface-tiny-open"]  # and no checkpoint beside it
    assert str(tmp_path / "var" / "targets.json") in asked[-1]
    standin.write(tmp_path / "x.onnx", standin.contract_of(*TASKS))
    assert evaluate_server.main([*aside, "--weights", str(tmp_path / "x.onnx")]) == 0
    assert "--beside" not in asked[-1]


def test_ctrl_c_stops_the_server(
    served: Path, server: type[FakeServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> None:
        assert len(server.running) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_server, "subprocess", SimpleNamespace(run=run))
    assert evaluate_server.main(["--output", str(tmp_path / "aside")]) == 130


def test_an_engine_that_was_never_built_is_told(
    served: Path, server: type[FakeServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_server.main(["--output", str(tmp_path / "aside"), "--precision", "bf16"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("evaluate: there is no openvino engine of")
    assert said.count("\n") == 1
