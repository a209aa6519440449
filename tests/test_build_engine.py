"""The CPU engine is measured against ONNX Runtime before it is served, and the manifest says how it did."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standin

import build.engine
from build.config import WEIGHTS
from build.engine import build_cpu_engine
from build.graph import read_graph
from build.parity import differences, differences_in_units, tolerances
from build.repository import assemble
from build.served import CpuEngine
from runtime.pose import rotation_from_angles


def test_the_engine_in_fp32_answers_as_onnx_runtime_and_the_manifest_records_it(tmp_path: Path) -> None:
    graph = read_graph(WEIGHTS)
    report = build_cpu_engine(graph, engine=CpuEngine(precision="fp32"), output=tmp_path)
    assert set(report["parity"]) == {"1", "3", "32"}
    for by_output in report["parity"].values():
        assert set(by_output) == set(graph.heads)
        assert max(by_output.values()) <= 1e-4
    assembled = assemble(engine=CpuEngine(precision="fp32"), output=tmp_path)
    stages = json.loads((assembled / "manifest.json").read_text())["stages"]
    for key in ("parity", "tolerances", "versions"):
        assert stages["engine"][key] == report[key]
    assert stages["engine"]["versions"]["openvino"]
    assert stages["engine"]["precision"] == "fp32"
    assert set(stages["onnx"]["parity"]) == {"1", "3", "32"}
    assert stages["checkpoint"]["sha256"]


def test_a_report_about_other_weights_is_not_taken(tmp_path: Path) -> None:
    build_cpu_engine(read_graph(WEIGHTS), engine=CpuEngine(precision="fp32"), output=tmp_path)
    other = standin.write(tmp_path / "other.onnx", standin.contract_of("age"))
    assembled = assemble(weights=other, engine=CpuEngine(precision="fp32"), output=tmp_path)
    stages = json.loads((assembled / "manifest.json").read_text())["stages"]
    assert "parity" not in stages["engine"]


def test_an_engine_out_of_tolerance_is_refused_and_its_old_report_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = standin.write_engine_report(tmp_path, WEIGHTS, precision="bf16")
    monkeypatch.setattr("build.parity.LOW_PRECISION", dict.fromkeys(build.parity.LOW_PRECISION, 1e-9))
    assert build.engine.main(["--precision", "bf16", "--output", str(tmp_path)]) == 2
    assert "choose --precision fp32" in capsys.readouterr().err
    assert not old.exists()


def test_the_first_line_says_which_engine_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.engine.main(["--precision", "fp32", "--output", str(tmp_path)]) == 0
    assert "building the CPU engine (OpenVINO, fp32)" in capsys.readouterr().out.splitlines()[0]


def test_a_tensorrt_engine_can_t_be_built_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.engine.main(["--target", "tensorrt"]) == 2
    assert "--target cpu" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"no photo"])
def test_a_photo_that_can_t_be_measured_on_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    photo = tmp_path / "photo.jpg"
    if content is not None:
        photo.write_bytes(content)
    assert build.engine.main(["--photo", str(photo), "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "--photo" in said
    assert said.count("\n") == 1


def test_missing_misshapen_and_nan_outputs_are_infinitely_far() -> None:
    expected: dict[str, np.ndarray[Any, Any]] = {"a": np.zeros((2, 3), np.float32)}
    assert differences(expected, {"a": expected["a"] + 0.5}) == {"a": 0.5}
    for answered in ({}, {"a": np.zeros((2, 4), np.float32)}, {"a": np.full((2, 3), np.nan, np.float32)}):
        assert differences(expected, answered) == {"a": np.inf}


def test_masks_differ_by_the_part_of_their_pixels() -> None:
    ids = np.zeros((1, 10, 10), np.uint8)
    other = ids.copy()
    other[0, 0, :3] = 7
    assert differences({"parsing": ids}, {"parsing": other}) == {"parsing": 0.03}


def test_rotations_differ_by_the_angle_between_them() -> None:
    contract = standin.contract_of("head_pose", "age")
    poses = np.array([[10.0, 20.0, 30.0], [0.0, 0.0, 0.0]])
    expected = {"head_pose": rotation_from_angles(poses), "age": np.array([[30.0], [40.0]])}
    rolled = poses + np.array([0, 0, 0.25])
    answered = {"head_pose": rotation_from_angles(rolled), "age": np.array([[30.1], [40.0]])}
    found = differences_in_units(contract, expected, answered)
    assert found["head_pose"] == pytest.approx(0.25)
    assert found["age"] == pytest.approx(0.1)
    assert tolerances(contract, precision="bf16") == {"head_pose": 0.5, "age": 0.5}
    assert tolerances(contract, precision="fp32") == {"head_pose": 1e-4, "age": 1e-4}
