"""What all tests with torch share."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.small_run import TASKS
from training.train.loop.distributed import Distributed, distributed


@pytest.fixture(scope="module", autouse=True)
def _one_core() -> Iterator[None]:
    """Commands that train take one core here, not all: the workers of the suite share them.

    On busy cores two threads wait for each other longer than they compute, and whoever waits spins.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_WORLD_SIZE", str(os.cpu_count() or 1))
        yield


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a prepared set "made" with labels of `TASKS`: 12 training faces, 6 of the test split."""
    root = tmp_path_factory.mktemp("run")
    make_set(root / "made", count=12, test=6, tasks=TASKS)
    return root


@pytest.fixture
def where() -> Iterator[Distributed]:
    """This process alone, on the CPU."""
    with distributed("cpu") as place:
        yield place
