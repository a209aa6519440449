"""The detector is compiled once for all tests that prepare a data set."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from runtime.detect.detector_engine import load_detector
from training.data import prepare


@pytest.fixture(scope="session")
def compiled_detectors() -> Callable[..., Any]:
    return functools.cache(load_detector)


@pytest.fixture(autouse=True)
def _share_the_detector(compiled_detectors: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "load_detector", compiled_detectors)
