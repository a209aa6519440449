"""Exports and engines take longest, so they are made once and shared."""

import contextlib
import dataclasses
import io
from pathlib import Path

import pytest

from tests.helpers.builds import SmallBuild, build
from tests.helpers.networks.few_layers import FEW_LAYERS
from training.models import save_checkpoint
from training.train.random_initialisation import random_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that claims to be trained, so that it may be served."""
    config = dataclasses.replace(FEW_LAYERS, tasks=("expression", "age", "head_pose"))
    made = dataclasses.replace(random_checkpoint(config, seed=0), card={"sources": []})
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, made)
    return path


@pytest.fixture(scope="session")
def small_build(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallBuild:
    """The small network's engine for this machine's CPU, built and served."""
    output = tmp_path_factory.mktemp("small") / "var"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert build(checkpoint, output) == 0
    return SmallBuild(checkpoint=checkpoint, output=output, printed=printed.getvalue())


@pytest.fixture(scope="session")
def shipped_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by tests that build different engines of the shipped weights: the export happens once."""
    return tmp_path_factory.mktemp("shipped") / "var"
