"""Repositories are put in place whole or not at all, kept while they are used, and repaired where damaged."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from build.stages.repository_files import hold, publish
from build.stages.verify import verify
from tests.helpers.paths import ROOT
from tests.helpers.repositories import everything_below, manifest_of


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


def test_a_repository_that_is_held_is_not_removed_until_it_is_let_go(weights: Path, output: Path) -> None:
    tasks = ("age", "expression", "head_pose", "race")
    held = assemble(ServingPlan(weights=weights, tasks=tasks[:1]), output=output)
    descriptor = hold(held)
    for task in tasks[1:3]:
        assemble(ServingPlan(weights=weights, tasks=(task,)), output=output)
    assert (held / "manifest.json").is_file()
    os.close(descriptor)
    assemble(ServingPlan(weights=weights, tasks=tasks[3:]), output=output)
    assert not held.exists()


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
    sentence = r"\(No space left on device\): make room there for \d+ MB, or name another"
    with pytest.raises(BuildError, match=sentence):
        assemble(ServingPlan(weights=weights, tasks=("head_pose",)), output=output)
    assert everything_below(output) == before
    assert (output / "repository").resolve() == old.resolve()


def test_a_source_that_vanished_is_named_and_leaves_nothing(output: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"can't be written .*gone\.onnx"):
        publish("repository-a", {"models/a/1/a.onnx": tmp_path / "gone.onnx"}, {}, output=output)
    assert [path.name for path in output.iterdir()] == [".repository.lock"]


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
