"""Two hosts train one network: one of them dies and comes back, and the result is that of one process."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.hosts import Hosts, has_pending
from tests.helpers.paths import ROOT
from training.train.loop.run_state import load_state
from training.train.overrides import overridden
from training.train.recipes import run_named
from training.train.run_config import Run

STEPS = 16
TASKS = "gender,landmarks,age"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
SETTINGS = [
    f"steps={STEPS}",
    "warmup_steps=0",
    f"model.tasks={TASKS}",
    # Neither number divides by two.
    "sources.one.batch=5",
    "sources.two.batch=3",
    "progress_every=1",
    "checkpoint_every=3",
    "bf16=false",
    "workers=0",
    "trackers=none",
]
# The document's, but for how soon a host counts as dead, and how long another one is waited for.
TORCHRUN = [
    *("-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "5"),
    *("--rdzv-backend", "c10d", "--rdzv-endpoint", "one:29400", "--rdzv-id", "faces"),
    *("--rdzv-conf", "last_call_timeout=15,keep_alive_interval=2"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("elastic")
    make_set(root / "one", count=20, tasks=["gender", "landmarks"], unlabelled=3)
    make_set(root / "two", count=20, tasks=["age"], seed=1)
    return root


def _training(data: pathlib.Path, run: pathlib.Path) -> list[str]:
    return [
        *("-m", "training.train.finetune", "qface_test", "--data", str(data), "--output", str(run)),
        *("--sets", "one,two", "--device", "cpu", "--threads", "1"),
        *(word for setting in SETTINGS for word in ("--set", setting)),
    ]


def _steps(run: pathlib.Path) -> int:
    lines = run / "progress.jsonl"
    return len(lines.read_text().splitlines()) if lines.exists() else 0


def _weights(run: pathlib.Path) -> torch.Tensor:
    state = load_state(run / "last.pt")
    assert state["step"] == STEPS
    return torch.cat([tensor.flatten().double() for tensor in state["objective"].values()])


def _first_weights() -> torch.Tensor:
    run = overridden(run_named("qface_test").with_sources(["one", "two"]), SETTINGS)
    assert isinstance(run, Run)
    torch.manual_seed(run.seed)
    model, _ = dataclasses.replace(run).build_model()
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


@pytest.mark.heavy
def test_a_host_that_dies_and_comes_back_changes_the_weights_by_rounding_alone(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    alone, elastic = tmp_path / "alone", tmp_path / "elastic"
    command = [sys.executable, *TORCHRUN, *_training(data, elastic)]
    # torch 2.11 has a host that comes back wait for an address that nobody writes any more.
    environment = ENVIRONMENT | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with Hosts({"one": "10.77.0.1", "two": "10.77.0.2"}, folder=tmp_path) as hosts:
        one = hosts.start("one", command, environment=environment)
        two = hosts.start("two", command, environment=environment)

        def until(happened: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 300
            while not happened():
                assert one.process.poll() is None, one.said()
                assert time.monotonic() < deadline, one.said()
                time.sleep(0.02)

        until(lambda: "by 2 processes" in one.said() and _steps(elastic) >= 4)
        two.kill()
        until(lambda: "goes on after step" in one.said())
        assert "process 0 lost the others at step" in one.said()
        goes_on = one.said().rpartition("goes on after step")[2].splitlines()[0]
        assert "processes" not in goes_on
        before = _steps(elastic)
        until(lambda: _steps(elastic) > before)
        # It is held until its agent knows of the other host, so that the run is not over too soon.
        (worker,) = set(one.pids("training.train.finetune")) - set(one.pids("torch.distributed.run"))
        os.kill(worker, signal.SIGSTOP)
        two = hosts.start("two", command, environment=environment)
        until(lambda: has_pending(worker, signal.SIGTERM))
        os.kill(worker, signal.SIGCONT)
        assert one.process.wait(timeout=300) == 0, one.said()
        assert two.process.wait(timeout=300) == 0, two.said()
    assert one.said().rpartition("goes on after step")[2].splitlines()[0].endswith("by 2 processes")
    told = [json.loads(line)["step"] for line in (elastic / "progress.jsonl").read_text().splitlines()]
    assert told == list(range(1, STEPS + 1))
    subprocess.run(
        [sys.executable, *_training(data, alone)],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        check=True,
        capture_output=True,
        timeout=300,
    )
    expected, found = _weights(alone), _weights(elastic)
    way = (expected - _first_weights()).norm()
    assert (found - expected).norm() < 0.02 * way, f"{(found - expected).norm()} of {way}"
