"""Engines are found in their package by the names that served models' parameters hold."""

from pathlib import Path

import pytest

from runtime.engines import engines, load_engine


def test_an_unknown_engine_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"'abacus' is unknown; use one of {', '.join(engines())}"):
        load_engine(tmp_path, {"runtime": "abacus", "file": "x.onnx"})


def test_every_engine_can_be_loaded() -> None:
    assert engines()
    for name, module in engines().items():
        assert name == module.NAME
        assert callable(module.load)
