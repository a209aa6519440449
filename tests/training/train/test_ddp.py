"""Two processes learn what one process would have learned from the same global batch."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.paths import ROOT
from training.train import finetune

STEPS = 4
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two sets that label different tasks, so that neither process's share is like the whole."""
    root = tmp_path_factory.mktemp("ddp")
    make_set(root / "one", count=20, tasks=["gender", "landmarks", "parsing"], unlabelled=3)
    make_set(root / "two", count=20, tasks=["age", "attributes", "head_pose"], seed=1)
    return root


def _arguments(data: pathlib.Path, run: pathlib.Path) -> list[str]:
    settings = [
        f"steps={STEPS}",
        "warmup_steps=0",
        "model.tasks=gender,landmarks,parsing,age,attributes,head_pose",
        # Neither number divides by two.
        "sources.one.batch=5",
        "sources.two.batch=3",
        "balance=uncertainty",
        "progress_every=1",
        "gradients_every=1",
        "workers=0",
        "trackers=none",
    ]
    return [
        "qface_test",
        *("--data", str(data), "--output", str(run), "--sets", "one,two"),
        *("--device", "cpu", "--threads", "1"),
        *(word for setting in settings for word in ("--set", setting)),
    ]


def _lines(run: pathlib.Path) -> Lines:
    return [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]


def _together(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """The command as two processes."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "training.train.finetune", *arguments),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.heavy
def test_two_processes_have_the_losses_and_the_gradients_of_one(data: pathlib.Path) -> None:
    """And so they have where the blocks' activations are computed again in the backward pass."""
    alone, together, split, divided = (data / name for name in ("alone", "together", "split", "divided"))
    threads = torch.get_num_threads()
    try:
        assert finetune.main(_arguments(data, alone)) == 0
        # The same in three parts, one after the other.
        assert finetune.main([*_arguments(data, split), "--set", "accumulate=3"]) == 0
    finally:
        torch.set_num_threads(threads)
    done = _together([*_arguments(data, together), "--set", "recompute=true"])
    # Each with its part of weights, gradients and moments.
    _together([*_arguments(data, divided), "--set", "shard=true"])
    expected = _lines(alone)
    assert len(expected) == STEPS
    assert expected[0]["losses"] != expected[1]["losses"]
    assert set(expected[0]["gradient_norms"]) == set(expected[0]["losses"])
    for run in (together, split, divided):
        lines = _lines(run)
        for step, (one, other) in enumerate(zip(expected, lines, strict=True)):
            # Later losses follow from the gradients of the steps before them.
            close = pytest.approx(one["losses"], rel=1e-5 if step == 0 else 5e-3)
            assert other["losses"] == close, f"{run.name}, step {step}"
        assert lines[0]["gradient_norm"] == pytest.approx(expected[0]["gradient_norm"], rel=1e-3), run.name
        if run == divided:  # a backward pass through divided weights can't be gone through in parts
            assert "gradient_norms" not in lines[0]
        else:
            by_task = pytest.approx(expected[0]["gradient_norms"], rel=1e-3)
            assert lines[0]["gradient_norms"] == by_task, run.name
    # One card, of the leading process.
    assert json.loads(done.stdout)["faces_seen"] == STEPS * 8
    # What was saved is whole: either way goes on with the other's state, here to write the network anew.
    for run, go_on in (
        (divided, lambda words: finetune.main(words)),
        (alone, lambda words: _together([*words, "--set", "shard=true"])),
    ):
        network = run / "model.safetensors"
        learned = load_file(network)
        network.unlink()
        go_on(_arguments(data, run))
        assert all(torch.equal(value, learned[name]) for name, value in load_file(network).items())
