"""Fixtures of the tests that assemble repositories."""

from pathlib import Path

import pytest

from tests.helpers.networks import standin_network as standin


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age", "head_pose", "race"))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "var"
