"""A run that is killed or stopped anywhere goes on as if nothing had happened."""

import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.paths import ROOT
from training.train import finetune
from training.train.loop import progress
from training.train.loop.distributed import Distributed
from training.train.loop.run_state import load_state, save_state

STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("resume")
    make_set(root / "made", count=16, tasks=["gender", "age", "head_pose", "visibility", "parsing"])
    return root


def _arguments(data: pathlib.Path, run: pathlib.Path, *settings: str) -> list[str]:
    all_settings = [
        f"steps={STEPS}",
        "warmup_steps=2",
        "model.tasks=gender,age,head_pose,visibility,parsing",
        "model.drop_path=0.2",
        "sources.made.batch=4",
        "accumulate=2",
        "balance=uncertainty",
        "checkpoint_every=3",
        "progress_every=1",
        "trackers=none",
        "workers=0",
        *settings,
    ]
    return [
        "qface_test",
        *("--data", str(data), "--run", str(run), "--sets", "made", "--device", "cpu", "--threads", "1"),
        *(word for setting in all_settings for word in ("--set", setting)),
    ]


def _train(arguments: list[str]) -> int:
    threads = torch.get_num_threads()
    try:
        return finetune.main(arguments)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unbroken(data: pathlib.Path) -> pathlib.Path:
    assert _train(_arguments(data, data / "unbroken")) == 0
    return data / "unbroken"


def _assert_same_weights(run: pathlib.Path, unbroken: pathlib.Path) -> None:
    one, other = load_state(unbroken / "last.pt"), load_state(run / "last.pt")
    assert other["step"] == STEPS
    for part in ("objective", "ema"):
        assert one[part].keys() == other[part].keys()
        for name, tensor in one[part].items():
            assert torch.equal(tensor, other[part][name]), f"{part} {name}"
    for number, moments in one["optimizer"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, other["optimizer"]["state"][number][name])
    kept, found = load_file(unbroken / "model.safetensors"), load_file(run / "model.safetensors")
    assert all(torch.equal(tensor, found[name]) for name, tensor in kept.items())


def _started(
    arguments: list[str], *, log: pathlib.Path, run: pathlib.Path, steps: int
) -> "subprocess.Popen[bytes]":
    """The command in a process group of its own, which has done so many steps."""
    with log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.train.finetune", *arguments],
            cwd=ROOT,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    lines = run / "progress.jsonl"
    deadline = time.monotonic() + 300
    while not lines.exists() or len(lines.read_text().splitlines()) < steps:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    return process


def test_a_signal_to_the_whole_group_stops_no_batches_before_the_state_is_saved(data: pathlib.Path) -> None:
    """As systemd, torchrun and a terminal send it."""
    run, log = data / "group", data / "group.log"
    process = _started(_arguments(data, run, "workers=1"), log=log, run=run, steps=1)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=120) == 128 + signal.SIGTERM, log.read_text()
    assert 0 < load_state(run / "last.pt")["step"] < STEPS


def test_killed_at_a_random_step_it_ends_in_the_same_weights(
    data: pathlib.Path, unbroken: pathlib.Path
) -> None:
    run = data / "killed"
    step = random.randrange(1, STEPS - 1)
    # Batches drawn by a process of their own, which is killed with its parent.
    arguments = _arguments(data, run, "workers=1")
    process = _started(arguments, log=data / "killed.log", run=run, steps=step)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "model.safetensors").exists()
    assert _train(arguments) == 0
    _assert_same_weights(run, unbroken)
    # What was done twice is told once.
    lines = run / "progress.jsonl"
    told = [json.loads(line)["step"] for line in lines.read_text().splitlines()]
    assert told == list(range(1, STEPS + 1)), f"killed after step {step}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_and_ends_the_run(
    data: pathlib.Path,
    unbroken: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    run = data / f"signal{number}"
    add = progress.Progress.add

    def interrupt(self: progress.Progress, step: int, **told: object) -> None:
        add(self, step, **told)  # type: ignore[arg-type]
        if step == 4:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "add", interrupt)
        assert _train(_arguments(data, run)) == 128 + number
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    said = capsys.readouterr().err
    assert "the same command goes on there" in said
    assert load_state(run / "last.pt")["step"] == 5
    assert _train(_arguments(data, run)) == 0
    assert "goes on after step 5" in capsys.readouterr().err
    _assert_same_weights(run, unbroken)


def test_a_state_is_written_whole_or_not_at_all(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "last.pt"
    save_state(path, {"step": 3, "weights": torch.arange(4.0)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(
            ValueError, match=r"last.pt can't be written \(File too large\), the last checkpoint stays"
        ):
            save_state(path, {"step": 4, "weights": torch.zeros(1 << 18)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_state(path)["step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_full_disk_ends_the_run_and_leaves_its_last_checkpoint(
    data: pathlib.Path, unbroken: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = data / "full"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        assert _train(_arguments(data, run)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "can't be written" in capsys.readouterr().err
    assert not list(run.glob("*.p*t*l"))
    assert _train(_arguments(data, run)) == 0
    _assert_same_weights(run, unbroken)


def test_a_state_that_only_some_processes_see_is_not_gone_on_with(
    data: pathlib.Path,
    unbroken: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Another machine, whose own folder is empty.
    monkeypatch.setattr(Distributed, "gathered", lambda self, thing: [thing, 0])
    assert _train(_arguments(data, unbroken)) == 2
    assert f"different steps (0, {STEPS}): let all machines see the same" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_state_says_so(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no training state"):
        load_state(path)


def test_a_run_with_other_settings_or_data_is_not_gone_on_with(
    data: pathlib.Path, unbroken: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (unbroken / "last.pt").read_bytes()
    assert _train(_arguments(data, unbroken, "seed=2")) == 2
    assert "run.seed is 1 there, 2 here" in capsys.readouterr().err
    assert _train([*_arguments(data, unbroken), "--set", "balance=fixed"]) == 2
    assert "run.balance" in capsys.readouterr().err
    make_set(tmp_path / "made", count=17, tasks=["gender", "age", "head_pose", "visibility", "parsing"])
    assert _train(_arguments(tmp_path, unbroken)) == 2
    assert "data.made is" in capsys.readouterr().err
    assert (unbroken / "last.pt").read_bytes() == before
    # How it is drawn, and how often it tells, changes nothing.
    assert _train(_arguments(data, unbroken, "checkpoint_every=5", "progress_every=7", "recompute=true")) == 0
