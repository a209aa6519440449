"""A build is repeated without work, again where an input changed, and continued after a kill."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from build.__main__ import main
from build.stages.stage import listing
from build.stages.verify import verify
from tests.helpers.builds import SmallBuild, build
from tests.helpers.killed_build import killed_build
from training.models import load_checkpoint, save_checkpoint


def test_changed_pictures_code_or_photo_are_another_input(
    small_build: SmallBuild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = small_build.copy_to(tmp_path / "var")
    monkeypatch.setattr("build.onnx_export._to_onnx", small_build.exported_again)
    monkeypatch.setattr("build.stages.stage.code_fingerprint", lambda *_, **__: "changed")
    assert build(small_build.checkpoint, output, "--rounds", "0") == 0
    assert "onnx: to be made again, because of another code" in capsys.readouterr().out
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("one", "two"):
        (pictures / name).write_bytes(b"1")
    before = listing(pictures)
    (pictures / "two").write_bytes(b"2")
    os.utime(pictures / "two", ns=(1, 1))
    assert listing(pictures) != before


def test_changed_weights_change_every_step_and_an_engine_that_fails_changes_nothing_served(
    small_build: SmallBuild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "small.safetensors"
    own.write_bytes(small_build.checkpoint.read_bytes())
    output = small_build.copy_to(tmp_path / "var")
    monkeypatch.setattr("build.onnx_export._to_onnx", small_build.exported_again)
    assert build(own, output) == 0
    served = (output / "repository").resolve()
    save_checkpoint(own, dataclasses.replace(load_checkpoint(own), card={"note": "trained further"}))
    with monkeypatch.context() as failing:
        failing.setattr(
            "build.acceptance.parity_check.tolerances",
            lambda contract, **_: dict.fromkeys(contract.names, 1.0) | {"age": -1.0},
        )
        assert build(own, output) == 2
    said = capsys.readouterr()
    assert "because of another checkpoint" in said.out
    assert "it differs from torch in age by" in said.err
    assert (output / "repository").resolve() == served
    failure = json.loads((output / "build" / "small" / "openvino-fp32" / "engine.FAILED.json").read_text())
    assert set(failure["report"]["parity"]["by_batch"]["1"]) == {"expression", "age", "head_pose"}
    assert build(own, output) == 0
    assert (output / "repository").resolve() != served
    assert not list((output / "build").rglob("*.FAILED.json"))


STEPS = (
    ("build.onnx_export", "_to_onnx", 0),
    ("build.stages.precision", "lower", 1),
    ("build.backends.openvino", "engine_of", 2),
    ("build.stages.repository_files", "_point", 3),
)


@pytest.mark.parametrize("steps", [pytest.param(STEPS, marks=pytest.mark.heavy), STEPS[2:3]])
def test_a_build_that_was_killed_in_any_step_goes_on_where_it_was(
    small_build: SmallBuild,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    steps: tuple[tuple[str, str, int], ...],
) -> None:
    output = tmp_path / "var"
    for module, function, finished in steps:
        killed_build(small_build, output, tmp_path / function, module=module, function=function)
        assert not (output / "repository").exists()
        assert len(list((output / "build").rglob("step.json"))) == finished
    assert main([str(small_build.checkpoint), "--output", str(output), "--rounds", "0"]) == 0
    said = capsys.readouterr().out
    assert said.count(": up to date") == steps[-1][2]
    assert not list(output.rglob("*unfinished*"))
    assert not list(output.glob(".repository-*.tmp"))
    verify((output / "repository").resolve())
