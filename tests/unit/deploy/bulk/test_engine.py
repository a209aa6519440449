"""The network that answers in a worker is the one that the run began with."""

from pathlib import Path

import pytest

from deploy.bulk.answering import engine
from deploy.bulk.answering.base import CannotAnswer, LocalEngine, Request
from deploy.bulk.answering.digest import network_digest
from deploy.bulk.settings import Search


def test_a_network_that_was_exchanged_under_its_name_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LocalFaceClient", lambda *_, **__: None)  # its contract would be the same
    network = tmp_path / "network.onnx"
    network.write_bytes(b"weights")
    source = LocalEngine(network=str(network))
    request = Request(tasks=("age",), search=Search(), digest=network_digest(network))
    source.open(request)
    network.write_bytes(b"others")
    with pytest.raises(CannotAnswer, match=r"network.onnx is another network than when the run began"):
        source.open(request)
