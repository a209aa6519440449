"""`make engine`: what it builds and serves where nothing is named, and what it refuses in one line."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from build.__main__ import main
from build.serving_plan import recorded_plan
from build.stages import repository
from build.stages.verify import verify
from tests.helpers.builds import QUICK, SHIPPED, SmallBuild, build, refused
from training.models import CONFIGS, load_checkpoint


def test_without_a_gpu_the_cpu_engine_is_built_and_served_and_the_first_line_says_so(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = small_build.printed.splitlines()
    assert lines[0] == "no GPU here: building the engine for OpenVINO on the CPU"
    row = [cell.strip() for cell in lines[-1].split("|")]
    assert row[1:4] == ["small", "openvino", "fp32"]
    assert row[4].endswith(" MB")
    for task in ("expression", "age", "head_pose"):
        assert f"{task} " in row[5]
    assert "batch 32: " in row[6]
    assert "x)" in row[6]
    about = verify((small_build.output / "repository").resolve())
    engine = about["stages"]["engine"]
    assert engine["layers"]["counts"] == {"fp32": sum(engine["layers"]["counts"].values())}
    assert engine["settings"]["hint"] == "fp32"
    assert engine["versions"]["openvino"]
    assert engine["machine"]["processor"]
    assert set(engine["parity"]["by_batch"]) == {"1", "3", "32"}
    assert about["stages"]["checkpoint"]["sha256"]
    assert about["stages"]["onnx"]["faces"]["parity"]["32"]["age"] <= 1e-4

    output = small_build.copy_to(tmp_path / "var")
    assert build(small_build.checkpoint, output) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "up to date" in line][:3] == [
        "onnx: up to date",
        "precision (openvino, fp32): up to date",
        "engine (openvino, fp32): up to date",
    ]
    assert lines[-1] == "nothing was to be done: everything is up to date"

    notice = tmp_path / "notice.txt"
    notice.write_text("Ask at the desk.")
    assert repository.main(["--notice", str(notice), "--max-faces", "7", "--output", str(output)]) == 0
    assert build(small_build.checkpoint, output) == 0
    plan = recorded_plan(output / "repository")
    assert (plan.notice, plan.max_faces) == ("Ask at the desk.", 7), "what an engine does not change stays"


def test_a_gpu_target_without_a_gpu_is_refused_and_nothing_else_is_built(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(checkpoint, tmp_path, "--target", "tensorrt") == 2
    said = capsys.readouterr()
    assert "needs an NVIDIA GPU, and this machine has none" in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_untrained_weights_prove_structure_only_and_are_not_served(
    small_build: SmallBuild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = load_checkpoint(small_build.checkpoint).model.config
    monkeypatch.setitem(CONFIGS, "qface_small", config)
    monkeypatch.setattr("build.onnx_export._to_onnx", small_build.exported_again)  # the same weights
    assert main(["qface_small", "--output", str(tmp_path), *QUICK]) == 0
    said = capsys.readouterr().out
    assert "structural parity only: untrained weights" in said
    assert "untrained weights are not served" in said
    assert not (tmp_path / "repository").exists()
    assert main(["qface_small", "--precision", "int8", "--output", str(tmp_path), *QUICK]) == 2
    assert "choose from fp32, bf16" in capsys.readouterr().err


def test_what_is_no_checkpoint_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--output", str(tmp_path / "var"), *QUICK]
    text = tmp_path / "text.safetensors"
    text.write_text("no checkpoint")
    assert "is not a safetensors file" in refused([str(text), *there], capsys)
    assert "does not exist" in refused([str(tmp_path / "gone.safetensors"), *there], capsys)
    assert "neither a checkpoint's file nor a configuration" in refused(["qface_huge", *there], capsys)
    foreign = tmp_path / "foreign.safetensors"
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, str(foreign))
    assert "not Q-Face's metadata" in refused([str(foreign), *there], capsys)
    assert not list((tmp_path / "var").rglob("*.onnx"))


def test_a_checkpoint_of_other_labels_is_told_in_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import tasks

    other = dataclasses.replace(tasks.CATALOGUE["age"], labels=("months",))
    monkeypatch.setitem(tasks.CATALOGUE, "age", other)
    said = refused([str(checkpoint), "--output", str(tmp_path), *QUICK], capsys)
    assert "learned other labels of 'age'" in said


def test_tasks_that_the_checkpoint_does_not_answer_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([str(SHIPPED), "--tasks", "parsing_lapa", "--output", str(tmp_path), *QUICK], capsys)
    assert "do not answer parsing_lapa: choose from expression, action_units" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--max-batch", "8"], "build it with --max-batch 32 or more"),
        (["--threads", "-1"], "-1 threads"),
        (["--rounds", "-1"], "rounds must be 0"),
        (["--target", "openvino", "--precision", "fp8"], "choose from fp32, bf16, int8"),
        (["--precision", "int8"], "CALIBRATION"),
        (["--precision", "int8", "--calibration", "{empty}"], "500"),
        (["--precision", "int8", "--calibration", "{gone}"], "gone"),
        (["--labelled", "{empty}"], "no prepared set"),
        (["--photo", "{gone}"], "photo"),
        (["--photo", "{text}"], "--photo"),
    ],
)
def test_bad_words_end_in_one_line_and_leave_nothing_half_written(
    small_build: SmallBuild,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no photo")
    places = {name: str(tmp_path / name) for name in ("empty", "gone", "text")}
    given = [word.format(**places) for word in words]
    output = small_build.copy_to(tmp_path / "var")
    assert sentence in refused([str(small_build.checkpoint), "--output", str(output), *QUICK, *given], capsys)
    assert not list(output.rglob("*unfinished*"))


def test_several_networks_want_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused([str(SHIPPED), "qface_tiny", "--output", str(tmp_path)], capsys)
    assert "several networks are built with --all only" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_told_in_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "var").mkdir(mode=0o555)
    assert "--output" in refused([str(checkpoint), "--output", str(tmp_path / "var"), *QUICK], capsys)
