"""`make engine`: from a checkpoint to a proven engine, again without work, and on after a kill."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from build.__main__ import main
from build.acceptance import gate
from build.acceptance.parity import nearly_constant
from build.acceptance.reference import load_reference
from build.backends import openvino
from build.backends.base import Engine
from build.files import ROOT
from build.onnx_interface import read_graph
from build.stages import compile as build_engine
from build.stages import export as build_onnx
from build.stages import precision as build_precision
from build.stages import repository as build_repository
from build.stages.stage import listing
from build.stages.verify import verify
from runtime.engines.openvino import openvino_core
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.models import CONFIGS, save_checkpoint
from training.train.untrained import untrained

SHIPPED = ROOT / "weights" / "qface-tiny.safetensors"
QUICK = ("--rounds", "1", "--seconds", "0.01")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that claims to be trained, so that it may be served."""
    config = dataclasses.replace(
        CONFIGS["qface_tiny"], input_size=64, width=48, heads=2, tasks=("expression", "age", "head_pose")
    )
    made = dataclasses.replace(untrained(config, seed=0), card={"sources": []})
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, made)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by tests that build different engines of the shipped weights: the export happens once."""
    return tmp_path_factory.mktemp("var")


def manifest_of(output: Path, engine: str) -> dict:
    return json.loads((output / "build" / SHIPPED.stem / engine / "engine" / "manifest.json").read_text())


def build(checkpoint: Path, output: Path, *words: str) -> int:
    return main([str(checkpoint), "--output", str(output), *QUICK, *words])


def test_without_a_gpu_the_cpu_engine_is_built_and_served_and_the_first_line_says_so(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(checkpoint, tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no GPU here: building the engine for OpenVINO on the CPU"
    row = [cell.strip() for cell in lines[-1].split("|")]
    assert row[1:4] == ["small", "openvino", "fp32"]
    assert row[4].endswith(" MB")
    for task in ("expression", "age", "head_pose"):
        assert f"{task} " in row[5]
    assert "batch 32: " in row[6]
    assert "x)" in row[6]
    about = verify((tmp_path / "repository").resolve())
    engine = about["stages"]["engine"]
    assert engine["layers"]["counts"] == {"fp32": sum(engine["layers"]["counts"].values())}
    assert engine["settings"]["hint"] == "fp32"
    assert engine["versions"]["openvino"]
    assert engine["machine"]["processor"]
    assert set(engine["parity"]["by_batch"]) == {"1", "3", "32"}
    assert about["stages"]["checkpoint"]["sha256"]
    assert about["stages"]["onnx"]["faces"]["parity"]["32"]["age"] <= 1e-4

    assert build(checkpoint, tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "up to date" in line][:3] == [
        "onnx: up to date",
        "precision (openvino, fp32): up to date",
        "engine (openvino, fp32): up to date",
    ]
    assert lines[-1] == "nothing was to be done: everything is up to date"


def has_bf16() -> bool:
    """Whether this processor multiplies in bf16; where it doesn't, OpenVINO computes in fp32."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_bf16_is_really_bf16_and_within_its_tolerances_or_refused(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = build(SHIPPED, output, "--target", "openvino", "--precision", "bf16")
    if not has_bf16():
        assert status == 2
        assert "stayed fp32" in capsys.readouterr().err
        return
    assert status == 0
    manifest = manifest_of(output, "openvino-bf16")
    counts = manifest["layers"]["counts"]
    assert counts["bf16"] / (sum(counts.values()) - manifest["layers"]["kept"]) >= 0.95
    for by_output in manifest["parity"]["by_batch"].values():
        assert all(value <= manifest["tolerances"][name] for name, value in by_output.items())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_parses_and_builds_without_a_gpu_and_says_what_needs_one(
    output: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    assert build(SHIPPED, output, "--target", "tensorrt-rtx", "--precision", precision) == 0
    said = capsys.readouterr().out
    assert "| needs a GPU |" in said
    assert "Triton has no backend for TensorRT-RTX" in said
    manifest = manifest_of(output, f"tensorrt-rtx-{precision}")
    assert manifest["needs"] == "a GPU"
    assert "speed" not in manifest
    assert manifest["layers"]["from"] == "parsed network"
    counts = manifest["layers"]["counts"]
    assert counts[precision] / (sum(counts.values()) - manifest["layers"]["kept"]) >= 0.95
    assert manifest["parity"]["of"].startswith("the network that the engine was built from")
    assert manifest["settings"]["profile"]["max"] == 32
    assert manifest["bytes"] > 100_000


def test_an_engine_is_measured_on_labelled_faces_beside_torch(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    side = 64 + 2 * margin_of(64)
    faces = [
        Face(
            key=str(number),
            pixels=random.integers(0, 256, (side, side, 3), dtype=np.uint8),
            split="test",
            labels={"age": [number, number], "head_pose": random.uniform(-30, 30, 3).tolist()},
        )
        for number in range(1, 41)
    ]
    write_set(tmp_path / "labelled" / "made", faces, size=64)
    words = ("--labelled", str(tmp_path / "labelled"))
    assert build(checkpoint, tmp_path / "var", *words) == 0
    folder = tmp_path / "var" / "build" / "small" / "openvino-fp32"
    metrics = json.loads((folder / "engine" / "manifest.json").read_text())["metrics"]
    assert set(metrics["engine"]) == {"age on made", "head_pose on made"}
    for name, of_torch in metrics["torch"].items():
        assert metrics["engine"][name] == pytest.approx(of_torch, abs=1e-3)

    compiled = openvino.engine_of

    def worse(network: Path, **named: Any) -> Engine:
        engine = compiled(network, **named)

        def infer(crops: np.ndarray) -> dict[str, np.ndarray]:
            assert engine.infer is not None
            answers = engine.infer(crops)
            # Eight are the last of the labelled faces; the comparison on the portrait never asks for so many.
            return answers | ({"age": answers["age"] + 200} if len(crops) == 8 else {})

        return dataclasses.replace(engine, infer=infer)

    monkeypatch.setattr("build.backends.openvino.engine_of", worse)
    capsys.readouterr()
    assert build(checkpoint, tmp_path / "var", *words, "--threads", "1") == 2
    assert "mean_absolute_error of age on made rises from" in capsys.readouterr().err


def test_half_the_bits_make_a_smaller_plan(output: Path) -> None:
    for precision in ("fp32", "fp16"):
        assert build(SHIPPED, output, "--target", "tensorrt-rtx", "--precision", precision) == 0
    full, half = (manifest_of(output, f"tensorrt-rtx-{name}")["bytes"] for name in ("fp32", "fp16"))
    assert half < 0.75 * full


def test_an_engine_that_nobody_could_run_is_not_served(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = (output / "repository").resolve()
    assert build(SHIPPED, output, "--target", "onnxruntime", "--precision", "fp16") == 0
    assert "nobody has run this engine yet: it needs a GPU" in capsys.readouterr().out
    assert (output / "repository").resolve() == served


def test_an_engine_that_a_converter_left_in_fp32_is_refused(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Layers whose values reach too far stay fp32, but they are on nobody's keep list."""
    monkeypatch.setattr("build.lowering.half_precision.FP16_LARGEST", 1.0)
    assert build(SHIPPED, tmp_path, "--target", "tensorrt-rtx", "--precision", "fp16") == 2
    assert "of its multiplying layers stayed fp32" in capsys.readouterr().err


def test_each_step_is_a_command_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported, lowered, engine = (tmp_path / name for name in ("onnx", "precision", "engine"))
    assert build_onnx.main([str(SHIPPED), "--directory", str(exported)]) == 0
    words = ["--target", "openvino", "--precision", "fp32", "--output"]
    assert build_precision.main([str(exported), *words, str(lowered)]) == 0
    assert build_engine.main([str(lowered), "--output", str(engine)]) == 0
    assert build_repository.main(["--engine", str(engine), "--output", str(tmp_path / "var")]) == 0
    verify((tmp_path / "var" / "repository").resolve())
    capsys.readouterr()
    assert build_engine.main([str(exported), "--output", str(tmp_path / "other")]) == 2
    assert "does not hold what the step precision leaves" in capsys.readouterr().err
    # The recorded commands are those that repeat the steps: nothing is left to do.
    for directory in (exported, lowered, engine):
        command = shlex.split(json.loads((directory / "step.json").read_text())["command"])
        module = {
            "build.stages.export": build_onnx,
            "build.stages.precision": build_precision,
            "build.stages.compile": build_engine,
        }
        assert module[command[2]].main(command[3:]) == 0
        assert "up to date" in capsys.readouterr().out


def test_changed_pictures_code_or_photo_are_another_input(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(SHIPPED, output) == 0
    monkeypatch.setattr("build.stages.stage.code_fingerprint", lambda *_, **__: "changed")
    capsys.readouterr()
    assert build(SHIPPED, output, "--rounds", "0") == 0
    assert "onnx: to be made again, because of another code" in capsys.readouterr().out
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"1")
    before = listing(tmp_path)
    (tmp_path / "two").write_bytes(b"2")
    os.utime(tmp_path / "two", ns=(1, 1))
    assert listing(tmp_path) != before


def test_the_faces_that_engines_are_judged_on_differ_in_every_answer(output: Path) -> None:
    assert build(SHIPPED, output, "--rounds", "0") == 0
    record = json.loads((output / "build" / SHIPPED.stem / "onnx" / "step.json").read_text())
    assert record["report"]["faces"]["blind"] == []
    reference = load_reference(output / "build" / SHIPPED.stem / "onnx" / "reference.npz")
    contract = read_graph(output / "build" / SHIPPED.stem / "onnx" / "model.onnx").contract
    dead = dict(reference.answers, gender=np.full_like(reference.answers["gender"], 0.5))
    assert nearly_constant(contract, dead) == ["gender"]


def test_an_engine_of_onnx_runtime_is_served_as_such(output: Path) -> None:
    assert build(SHIPPED, output, "--target", "onnxruntime") == 0
    about = verify((output / "repository").resolve())
    assert about["stages"]["engine"]["target"] == "onnxruntime"
    config = (output / "repository" / "models" / "face_engine" / "configs" / "cpu.pbtxt").read_text()
    assert 'string_value: "onnxruntime"' in config


def test_a_gpu_target_without_a_gpu_is_refused_and_nothing_else_is_built(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(checkpoint, tmp_path, "--target", "tensorrt") == 2
    said = capsys.readouterr()
    assert "needs an NVIDIA GPU, and this machine has none" in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_untrained_weights_prove_structure_only_and_are_not_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["qface_tiny", "--output", str(tmp_path), *QUICK]) == 0
    said = capsys.readouterr().out
    assert "structural parity only: untrained weights" in said
    assert "untrained weights are not served" in said
    assert not (tmp_path / "repository").exists()
    assert main(["qface_tiny", "--precision", "int8", "--output", str(tmp_path), *QUICK]) == 2
    assert "choose from fp32, bf16" in capsys.readouterr().err


def test_changed_weights_change_every_step_and_an_engine_that_fails_changes_nothing_served(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "small.safetensors"
    own.write_bytes(checkpoint.read_bytes())
    assert build(own, tmp_path) == 0
    served = (tmp_path / "repository").resolve()
    config = dataclasses.replace(CONFIGS["qface_tiny"], input_size=64, width=48, heads=2, tasks=("age",))
    save_checkpoint(own, dataclasses.replace(untrained(config, seed=1), card={}))
    monkeypatch.setattr(gate, "tolerances", lambda contract, **_: {"age": -1.0})
    assert build(own, tmp_path) == 2
    said = capsys.readouterr()
    assert "because of another checkpoint" in said.out
    assert "it differs from torch in age by" in said.err
    assert (tmp_path / "repository").resolve() == served
    failure = json.loads((tmp_path / "build" / "small" / "openvino-fp32" / "engine.FAILED.json").read_text())
    assert set(failure["report"]["parity"]["by_batch"]["1"]) == {"age"}
    monkeypatch.undo()
    assert build(own, tmp_path) == 0
    assert (tmp_path / "repository").resolve() != served
    assert not list((tmp_path / "build").rglob("*.FAILED.json"))


_KILLED = """
import sys, time
from pathlib import Path
import {module}
from build.__main__ import main
from build.backends import openvino
from build.backends.base import Engine

def half(*arguments, **named):
    for place in Path(sys.argv[2]).rglob("*.unfinished"):
        (place / "half").write_text("half")
    Path(sys.argv[3]).write_text("here")
    time.sleep(120)

{module}.{function} = half
main([sys.argv[1], "--output", sys.argv[2], "--rounds", "0"])
"""


def killed(checkpoint: Path, output: Path, sign: Path, *, module: str, function: str) -> None:
    """Runs the build until a function is entered, and kills it there."""
    code = textwrap.dedent(_KILLED.format(module=module, function=function))
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(checkpoint), str(output), str(sign)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not sign.exists() and process.poll() is None:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert sign.exists(), "the build ended before it came to the step"


def test_a_build_that_was_killed_in_any_step_goes_on_where_it_was(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (
        ("build.onnx_export", "_metadata", 0),
        ("build.stages.precision", "lower", 1),
        ("build.backends.openvino", "engine_of", 2),
        ("build.stages.repository_files", "_point", 3),
    )
    output = tmp_path / "var"
    for module, function, finished in steps:
        killed(checkpoint, output, tmp_path / function, module=module, function=function)
        assert not (output / "repository").exists()
        assert len(list((output / "build").rglob("step.json"))) == finished
    assert main([str(checkpoint), "--output", str(output), "--rounds", "0"]) == 0
    said = capsys.readouterr().out
    assert said.count(": up to date") == 3
    assert not list(output.rglob("*unfinished*"))
    assert not list(output.glob(".repository-*.tmp"))
    verify((output / "repository").resolve())


def refused(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(list(words)) == 2, words
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


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
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([str(SHIPPED), "--tasks", "parsing_lapa", "--output", str(output), *QUICK], capsys)
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
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no photo")
    places = {name: str(tmp_path / name) for name in ("empty", "gone", "text")}
    given = [word.format(**places) for word in words]
    assert sentence in refused([str(SHIPPED), "--output", str(output), *QUICK, *given], capsys)
    assert not list(output.rglob("*unfinished*"))


def test_several_networks_want_all(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused([str(SHIPPED), "qface_tiny", "--output", str(output)], capsys)
    assert "several networks are built with --all only" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_told_in_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "var").mkdir(mode=0o555)
    assert "--output" in refused([str(checkpoint), "--output", str(tmp_path / "var"), *QUICK], capsys)


def test_every_engine_that_this_machine_can_build_stands_in_one_table(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = (output / "repository").resolve()
    assert build(SHIPPED, output, "--all") == (0 if has_bf16() else 2)
    said = capsys.readouterr()
    rows = {
        tuple(cell.strip() for cell in line.split("|")[2:4])
        for line in said.out.splitlines()
        if line.startswith("| qface-tiny")
    }
    assert rows >= {
        ("openvino", "fp32"),
        ("openvino", "bf16"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "fp16"),
        ("tensorrt-rtx", "fp32"),
        ("tensorrt-rtx", "fp16"),
        ("tensorrt-rtx", "bf16"),
    }
    assert ("openvino", "int8") not in rows
    assert (output / "repository").resolve() == served
    assert np.all([line.count("|") == 7 for line in said.out.splitlines() if line.startswith("|")])
