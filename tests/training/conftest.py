"""What all tests with torch share."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _one_core() -> Iterator[None]:
    """Commands that train take one core here, not all: the workers of the suite share them.

    On busy cores two threads wait for each other longer than they compute, and whoever waits spins.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_WORLD_SIZE", str(os.cpu_count() or 1))
        yield
