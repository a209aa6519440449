"""Servers that have less than the server's side asks for: notes, and what is left."""

import numpy as np
import pytest

from deploy.loadtest.protocols.base import Target
from deploy.loadtest.server import ServerSide, server_side
from deploy.loadtest.work.question import Question
from deploy.measuring.server_processes import ServerProcesses
from qface_client.measuring.histogram import Histogram
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of, running

QUESTION = Question(kind="photo", model="photo_analysis", inputs={"image": np.zeros(4, np.uint8)})
LATENCY = {"photo": Histogram.of([0.01, 0.03])}


@pytest.fixture(autouse=True)
def no_idle_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second."""
    monkeypatch.setattr(ServerProcesses, "idle_load", lambda self, seconds: {})


def side_of(protocol: str, address: str, **further: str) -> ServerSide:
    return server_side(Target(protocol=protocol, address=address), [QUESTION], **further)


def test_a_server_without_statistics_has_its_processes_alone() -> None:
    with (
        running(FakeServer(contract_of(classes("mood", ["glad"])))) as address,
        side_of("grpc", address) as side,
    ):
        side.begin()
        found = side.end(latency=LATENCY, client_core_seconds=0.1)
        # An answer that came after the last look cost nothing before it.
        looks = side.look(), side.look()
        late = side.between(*looks, latency=LATENCY, client_core_seconds=0.1, arrived=1)
    assert (found.parts, list(found.steps)) == ({}, [])
    (note,) = found.notes
    assert note.startswith("no statistics of the models: ")
    assert "UNIMPLEMENTED" in note
    assert found.core_ms["client"] == pytest.approx(50)
    assert late.core_ms["client"] == pytest.approx(100)
    assert sum(found.memory.values()) > 0


@pytest.mark.parametrize("protocol", ["grpc", "http", "rest"])
def test_where_nobody_listens_all_is_notes(protocol: str) -> None:
    page = f"http://127.0.0.1:{closed_port()}/metrics"
    with side_of(protocol, f"127.0.0.1:{closed_port()}", metrics_url=page) as side:
        side.begin()
        found = side.end(latency=LATENCY, client_core_seconds=0.1)
    assert (found.parts, list(found.steps), found.core_ms, found.memory) == ({}, [], {}, {})
    begins = [note.partition(":")[0] for note in found.notes]
    assert begins == [
        "no statistics of the models",
        "no figures of a gateway",
        "no processor time of the server",
    ]


def test_a_stage_without_an_answer_has_no_parts() -> None:
    with running(FakeServer(contract_of())) as address, side_of("grpc", address) as side:
        side.begin()
        found = side.end(latency={}, client_core_seconds=0.1)
    assert (found.parts, found.core_ms) == ({}, {})
