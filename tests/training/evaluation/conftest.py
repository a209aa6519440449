"""Fixtures of the evaluation's tests."""

from pathlib import Path

import pytest

from tests.helpers.faces.labelled_sets import labelled_sets
from training.models import CONFIGS, save_checkpoint
from training.train.random_initialisation import random_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "test.safetensors"
    save_checkpoint(path, random_checkpoint(CONFIGS["qface_test"], seed=1))
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sets of tests.helpers.faces.labelled_sets."""
    return labelled_sets(tmp_path_factory.mktemp("prepared"))
