"""Engines of the shipped network for each target and precision: what they are, and which are refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from build.acceptance.parity import nearly_constant
from build.acceptance.reference import load_reference
from build.backends import openvino
from build.backends.base import Engine
from build.config import WEIGHTS
from build.onnx_interface import read_graph
from build.stages.verify import verify
from tests.helpers.builds import SHIPPED, SmallBuild, bf16_refusal, build, manifest_of
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set

# How fast an engine is beside torch is measured where the small network is built.
UNMEASURED = ("--rounds", "0")


@pytest.fixture(autouse=True)
def _as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped ONNX file takes the place of another export: `test_export.py` exports such a network.

    That it answers as the shipped checkpoint does is compared all the same.
    """
    monkeypatch.setattr("build.onnx_export._to_onnx", lambda *_, **__: onnx.load(WEIGHTS))


def test_bf16_is_really_bf16_and_within_its_tolerances_or_refused(
    shipped_output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = build(SHIPPED, shipped_output, "--target", "openvino", "--precision", "bf16", *UNMEASURED)
    if (refusal := bf16_refusal()) is not None:
        assert status == 2
        assert refusal in capsys.readouterr().err
        return
    assert status == 0
    manifest = manifest_of(shipped_output, "openvino-bf16")
    counts = manifest["layers"]["counts"]
    assert counts["bf16"] / (sum(counts.values()) - manifest["layers"]["kept"]) >= 0.95
    for by_output in manifest["parity"]["by_batch"].values():
        assert all(value <= manifest["tolerances"][name] for name, value in by_output.items())


@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.heavy), "fp16"])
def test_tensorrt_parses_and_builds_without_a_gpu_and_says_what_needs_one(
    shipped_output: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    assert (
        build(SHIPPED, shipped_output, "--target", "tensorrt-rtx", "--precision", precision, *UNMEASURED) == 0
    )
    said = capsys.readouterr().out
    assert "| needs a GPU |" in said
    assert "Triton has no backend for TensorRT-RTX" in said
    manifest = manifest_of(shipped_output, f"tensorrt-rtx-{precision}")
    assert manifest["needs"] == "a GPU"
    assert "speed" not in manifest
    assert manifest["layers"]["from"] == "parsed network"
    counts = manifest["layers"]["counts"]
    assert counts[precision] / (sum(counts.values()) - manifest["layers"]["kept"]) >= 0.95
    assert manifest["parity"]["of"].startswith("the network that the engine was built from")
    assert manifest["settings"]["profile"]["max"] == 32
    assert manifest["bytes"] > 100_000


@pytest.mark.heavy
def test_half_the_bits_make_a_smaller_plan(shipped_output: Path) -> None:
    for precision in ("fp32", "fp16"):
        assert (
            build(SHIPPED, shipped_output, "--target", "tensorrt-rtx", "--precision", precision, *UNMEASURED)
            == 0
        )
    full, half = (manifest_of(shipped_output, f"tensorrt-rtx-{name}")["bytes"] for name in ("fp32", "fp16"))
    assert half < 0.75 * full


def test_an_engine_that_nobody_could_run_is_not_served(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = small_build.copy_to(tmp_path / "var")
    served = (output / "repository").resolve()
    words = ("--target", "onnxruntime", "--precision", "fp16", *UNMEASURED)
    assert build(small_build.checkpoint, output, *words) == 0
    assert "nobody has run this engine yet: it needs a GPU" in capsys.readouterr().out
    assert (output / "repository").resolve() == served


def test_an_engine_that_a_converter_left_in_fp32_is_refused(
    small_build: SmallBuild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Layers whose values reach too far stay fp32, but no precision exclusion names them."""
    output = small_build.copy_to(tmp_path / "var")
    monkeypatch.setattr("build.lowering.half_precision.FP16_LARGEST", 0.1)
    words = ("--target", "tensorrt-rtx", "--precision", "fp16", *UNMEASURED)
    assert build(small_build.checkpoint, output, *words) == 2
    assert "of its multiplying layers stayed fp32" in capsys.readouterr().err


def test_the_faces_that_engines_are_judged_on_differ_in_every_answer(shipped_output: Path) -> None:
    assert build(SHIPPED, shipped_output, *UNMEASURED) == 0
    record = json.loads((shipped_output / "build" / SHIPPED.stem / "onnx" / "step.json").read_text())
    assert record["report"]["faces"]["blind"] == []
    reference = load_reference(shipped_output / "build" / SHIPPED.stem / "onnx" / "reference.npz")
    contract = read_graph(shipped_output / "build" / SHIPPED.stem / "onnx" / "model.onnx").contract
    dead = dict(reference.answers, gender=np.full_like(reference.answers["gender"], 0.5))
    assert nearly_constant(contract, dead) == ["gender"]


def test_an_engine_of_onnx_runtime_is_served_as_such(shipped_output: Path) -> None:
    assert build(SHIPPED, shipped_output, "--target", "onnxruntime", *UNMEASURED) == 0
    about = verify((shipped_output / "repository").resolve())
    assert about["stages"]["engine"]["target"] == "onnxruntime"
    config = (shipped_output / "repository" / "models" / "face_engine" / "configs" / "cpu.pbtxt").read_text()
    assert 'string_value: "onnxruntime"' in config


@pytest.mark.heavy
def test_every_engine_that_this_machine_can_build_stands_in_one_table(
    shipped_output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = (shipped_output / "repository").resolve()
    assert build(SHIPPED, shipped_output, "--all", *UNMEASURED) == (0 if bf16_refusal() is None else 2)
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
    assert (shipped_output / "repository").resolve() == served
    assert np.all([line.count("|") == 7 for line in said.out.splitlines() if line.startswith("|")])


def test_an_engine_is_measured_on_labelled_faces_beside_torch(
    small_build: SmallBuild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint, output = small_build.checkpoint, small_build.copy_to(tmp_path / "var")
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
    assert build(checkpoint, output, *words) == 0
    folder = output / "build" / "small" / "openvino-fp32"
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
    assert build(checkpoint, output, *words, "--threads", "1") == 2
    assert "mean_absolute_error of age on made rises from" in capsys.readouterr().err
