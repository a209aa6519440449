"""What is installed and shipped is what was chosen: versions, and networks of the checkpoints beside them."""

import hashlib
import re
from pathlib import Path

import pytest

from build.config import WEIGHTS
from build.onnx_interface import read_graph
from tests.helpers.paths import ROOT

SHIPPED = sorted(WEIGHTS.parent.glob("*.onnx"))
PINNED = re.compile(r"[\w.-]+(\[[\w,]+\])?==\S+")


@pytest.mark.parametrize("network", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_network_is_the_export_of_the_checkpoint_beside_it(network: Path) -> None:
    checkpoint = network.with_suffix(".safetensors").read_bytes()
    assert read_graph(network).metadata["checkpoint_sha256"] == hashlib.sha256(checkpoint).hexdigest()


@pytest.mark.parametrize(
    "name", ["serve.txt", "serve-nodeps.txt", "train.txt", "train-nodeps.txt", "teachers.txt", "fuzz.txt"]
)
def test_every_package_of_an_environment_has_one_version(name: str) -> None:
    lines = [line.split(";")[0].strip() for line in (ROOT / "requirements" / name).read_text().splitlines()]
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages
    assert [line for line in packages if not PINNED.fullmatch(line)] == []
