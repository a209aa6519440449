"""The network that answers in a worker is the one that the run began with."""

from pathlib import Path

import pytest

from deploy.bulk.answering import engine
from deploy.bulk.answering.base import CannotAnswer, LocalEngine, Request
from deploy.bulk.answering.digest import network_digest
from deploy.bulk.photo import Answered
from deploy.bulk.settings import Search
from tests.helpers.networks import standin_network
from tests.helpers.paths import ASTRONAUT

SEED = 2  # of a network by which the portrait's quality is below 1


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


def test_faces_below_the_least_quality_are_left_out_and_counted(tmp_path: Path) -> None:
    contract = standin_network.stating_errors(standin_network.contract_of("age", "face_quality"))
    network = standin_network.write(tmp_path / "network.onnx", contract, seed=SEED)
    for least, faces, below in ((0.0, 1, 0), (1.0, 0, 1)):
        request = Request(tasks=("age",), search=Search(min_quality=least))
        answering = LocalEngine(network=str(network)).open(request)
        outcome = answering.answer(ASTRONAUT.read_bytes())
        answering.close()
        assert isinstance(outcome, Answered)
        assert (len(outcome.faces), outcome.faces_below_quality) == (faces, below)
        assert all("age.error" in face for face in outcome.faces)
