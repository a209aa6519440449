"""A deployment's engine is built once for its own machine, and nothing is left half done."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from build.manifest import read_manifest
from build.stages import compile as compiling
from build.stages.stage import RECORD
from build.stages.verify import verify
from deploy.prepare import lock
from deploy.prepare.__main__ import main
from tests.helpers import exported_weights, simulated_gpu
from tests.helpers.paths import ROOT
from tests.helpers.simulated_gpu import nvidia_smi, row

TASKS = ("expression", "age")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return exported_weights.write(tmp_path / "network.onnx", *TASKS)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """This process's machine gets a simulated GPU."""
    simulated_gpu.simulate(monkeypatch.setattr)
    nvidia_smi(tmp_path / "bin", row())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return monkeypatch


def words(weights: Path, state: Path, *, target: str = "tensorrt", precision: str = "fp32") -> list[str]:
    return [
        *("--state", str(state), "--target", target, "--precision", precision),
        *("--weights", str(weights), "--lowered", str(state.parent / "lowered")),
    ]


def plans(state: Path) -> list[Path]:
    return sorted(state.glob("engines/*/*/engine/model.plan"))


def left_over(state: Path) -> list[Path]:
    return [path for path in state.rglob("*") if "unfinished" in path.name or path.name.endswith(".tmp")]


# -- on the CPU -------------------------------------------------------------------------------------


def test_a_cpu_s_repository_is_assembled_once(
    weights: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words(weights, state, target="openvino")
    assert main(given) == 0
    repository = (state / "repository").resolve()
    assert verify(repository)["tasks"] == list(TASKS)
    assert not (state / "engines").exists()
    made = (repository / "manifest.json").stat().st_ino
    assert main(given) == 0
    assert (repository / "manifest.json").stat().st_ino == made
    assert f"leads to {repository.name}" in capsys.readouterr().out


def test_the_tasks_of_the_command_are_served(weights: Path, state: Path) -> None:
    assert main([*words(weights, state, target="openvino"), "--tasks", "age"]) == 0
    assert read_manifest(state / "repository")["tasks"] == ["age"]


def test_a_cpu_s_precision_is_decided_where_none_is_named(weights: Path, state: Path) -> None:
    assert main(["--state", str(state), "--target", "openvino", "--weights", str(weights)]) == 0
    engine = read_manifest(state / "repository")["stages"]["engine"]
    assert engine["decision"]["machine"]["openvino"]


# -- on a GPU ---------------------------------------------------------------------------------------


def test_an_engine_is_built_once_and_found_again(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(weights, state)) == 0
    (plan,) = plans(state)
    assert "gpu8.9" in plan.parents[1].name
    assert "11.3.0.99" in plan.parents[1].name
    engine = read_manifest(state / "repository")["stages"]["engine"]
    assert engine["parity"]["of"] == "the engine"
    assert engine["versions"]["compute_capability"] == "8.9"
    made = plan.stat().st_ino
    capsys.readouterr()
    assert main(words(weights, state)) == 0
    assert plan.stat().st_ino == made
    assert "is as its manifest says, and is used" in capsys.readouterr().out


def test_a_damaged_engine_is_built_again(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(weights, state)) == 0
    (plan,) = plans(state)
    whole = plan.read_bytes()
    plan.unlink()
    plan.write_bytes(whole[:100])
    assert main(words(weights, state)) == 0
    assert "is damaged or not complete" in capsys.readouterr().out
    assert plan.read_bytes() == whole


def test_another_kind_of_gpu_gets_an_engine_of_its_own_beside_the_first(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch
) -> None:
    assert main(words(weights, state)) == 0
    gpu.setenv("SIMULATED_CAPABILITY", "9.0")
    simulated_gpu.simulate(gpu.setattr)
    assert main(words(weights, state)) == 0
    assert len(plans(state)) == 2
    engine = read_manifest(state / "repository")["stages"]["engine"]
    assert engine["versions"]["compute_capability"] == "9.0"


def test_an_engine_that_was_put_under_another_gpu_s_name_is_not_believed(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(weights, state)) == 0
    (plan,) = plans(state)
    record = plan.with_name(RECORD)
    about = json.loads(record.read_text())
    about["report"]["versions"] |= {"gpu": "NVIDIA T4", "compute_capability": "7.5"}
    record.write_text(json.dumps(about))
    assert main(words(weights, state)) == 0
    assert "for NVIDIA T4 (compute capability 7.5), and it would run on" in capsys.readouterr().out
    assert read_manifest(state / "repository")["stages"]["engine"]["versions"]["compute_capability"] == "8.9"


def test_the_image_s_network_at_a_precision_is_used_and_its_folder_only_read(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch
) -> None:
    from deploy.prepare import lower

    lowered = state.parent / "lowered"
    options = ("--target", "tensorrt", "--precision", "fp32", "--weights", str(weights))
    assert lower.main([*options, "--output", str(lowered)]) == 0
    before = {path: path.stat().st_mtime_ns for path in lowered.rglob("*")}
    assert main(words(weights, state)) == 0
    assert {path: path.stat().st_mtime_ns for path in lowered.rglob("*")} == before
    assert not (state / "engines" / "lowered").exists()


def test_a_network_is_brought_to_a_precision_where_no_gpu_is(
    weights: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.prepare import lower

    monkeypatch.setattr("build.machine.has_gpu", lambda: False)
    options = ("--target", "tensorrt", "--precision", "fp32", "--weights", str(weights))
    assert lower.main([*options, "--output", str(state)]) == 0
    assert (state / "network" / "tensorrt-fp32" / "precision" / "model.onnx").is_file()


# -- what can't work --------------------------------------------------------------------------------


def refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command ends."""
    capsys.readouterr()
    assert main(given) == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    return sentence


def test_a_machine_without_a_gpu_is_named(
    weights: Path, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.machine.has_gpu", lambda: False)
    assert "needs an NVIDIA GPU, and this machine has none" in refused(words(weights, state), capsys)
    assert not plans(state)


def test_a_driver_that_is_too_old_is_named_with_the_one_that_is_needed(
    weights: Path,
    state: Path,
    tmp_path: Path,
    gpu: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nvidia_smi(tmp_path / "bin", row(driver="550.54.15"))
    gpu.setenv("CUDA_VERSION", "13.4.1")
    sentence = refused(words(weights, state), capsys)
    assert "the NVIDIA driver is 550.54.15, and CUDA 13 needs 580 or newer" in sentence
    assert not plans(state)


def test_a_precision_that_wants_faces_is_refused(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "fitted to real faces" in refused(words(weights, state, precision="int8"), capsys)


def full(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "where", ["deploy.prepare.engines.CompileStage.run", "build.stages.repository_files.shutil.copyfile"]
)
def test_a_full_volume_is_named_and_what_was_served_stays(
    where: str,
    weights: Path,
    state: Path,
    gpu: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words(weights, state)) == 0
    before = (state / "repository").resolve()
    other = exported_weights.write(weights.with_name("other.onnx"), "gender")
    with gpu.context() as patched:
        patched.setattr(where, full)
        sentence = refused(words(other, state), capsys)
    assert f"the volume of {state} is full (No space left on device)" in sentence
    assert "MiB" in sentence
    assert (state / "repository").resolve() == before
    assert not left_over(state)
    assert main(words(other, state)) == 0
    assert read_manifest(state / "repository")["tasks"] == ["gender"]


def test_a_state_folder_that_belongs_to_somebody_else_is_named(
    weights: Path, tmp_path: Path, gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    gpu.setattr(lock.os, "open", denied)
    sentence = refused(words(weights, tmp_path / "state"), capsys)
    assert f"can't be written by user {os.geteuid()} (Permission denied)" in sentence
    assert "fsGroup" in sentence


# -- several at once, and one that is killed --------------------------------------------------------


@contextlib.contextmanager
def replica(given: list[str], *, until: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A prepare step of its own on a simulated GPU; its build waits `until` a file is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.simulated_gpu", *given],
        cwd=ROOT,
        env=os.environ | ({} if until is None else {"SIMULATED_BUILD_UNTIL": str(until)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: "subprocess.Popen[str]", sign: str) -> str:
    """The line of its output with this sign in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if sign in line:
            return line
    pytest.fail(f"the step ended without {sign!r}")


def test_of_two_replicas_one_builds_and_the_other_waits_and_uses_it(
    weights: Path, state: Path, tmp_path: Path
) -> None:
    given, built = words(weights, state), tmp_path / "built"
    with replica(given, until=built) as first:
        read_until(first, "the simulated builder is at work")
        with replica(given) as second:
            waiting = read_until(second, "waiting for it to end")
            assert f"process {first.pid} of " in waiting
            built.touch()
            read_until(second, "is as its manifest says, and is used")
            assert second.wait(timeout=300) == 0
        read_until(first, "leads to repository-")
        assert first.wait(timeout=300) == 0
    assert len(plans(state)) == 1


def test_a_replica_that_is_killed_leaves_the_lock_and_nothing_half_done(
    weights: Path, state: Path, gpu: pytest.MonkeyPatch
) -> None:
    with replica(words(weights, state), until=state / "never") as first:
        read_until(first, "the simulated builder is at work")
        assert left_over(state)
        first.kill()
        first.wait()
    assert not (state / "repository").exists()
    assert not plans(state)
    assert main(words(weights, state)) == 0
    assert not left_over(state)
    assert verify(state / "repository")["tasks"] == list(TASKS)
    assert compiling.ENGINE_MANIFEST in {path.name for path in plans(state)[0].parent.iterdir()}
