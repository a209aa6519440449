"""The REST door dies, and ends: every request has an answer or a cut connection, and gRPC is not harmed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.benchmark.load import Load, Samples
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import DEADLINE, eventually, senders, unhappy
from tests.helpers.rest_load import CUT_OFF, RestLoad


@pytest.fixture(scope="module")
def gateway(small: Path) -> Iterator[GatewayServer]:
    with GatewayServer(small, rest_port=0) as running:
        yield running


def door(gateway: GatewayServer) -> dict[str, Any]:
    """Of the process that serves REST, as the status has it."""
    (found,) = (each for each in gateway.status()["further_fronts"] if each["door"] == "REST")
    return dict(found)


def test_a_door_that_is_killed_under_load_comes_back_and_grpc_is_not_harmed(gateway: GatewayServer) -> None:
    pid = door(gateway)["pid"]
    # Few enough that photos find room beside them.
    few = senders(gateway.grpc_address, Samples(gateway.grpc_address, gateway.models))[:2]
    with Load(few, deadline=DEADLINE, pause=0.5) as bystanders, RestLoad(gateway.rest_address) as load:
        assert eventually(lambda: load.count(200) >= 4), load.statuses
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: door(gateway)["listening"] and door(gateway)["pid"] not in (pid, None))
        answered = load.count(200)
        assert eventually(lambda: load.count(200) >= answered + 4), load.statuses
    # What it had at Triton was cut off, so another Triton may have taken over.
    assert not unhappy(bystanders), (bystanders.summary, unhappy(bystanders)[:3])
    assert load.statuses <= {200, 429, 503, CUT_OFF}, load.statuses
    assert all(content["faces_found"] == 1 for status, content in load.answers if status == 200)


def test_a_door_that_is_stopped_answers_what_it_took(gateway: GatewayServer) -> None:
    """The last of these tests, as the gateway ends with it."""
    with RestLoad(gateway.rest_address) as load:
        assert eventually(lambda: load.count(200) >= 4), load.statuses
        os.kill(gateway.supervisor_pid, signal.SIGTERM)
        assert eventually(lambda: not gateway.running)
        assert eventually(lambda: CUT_OFF in load.statuses)
    assert load.statuses <= {200, 503, CUT_OFF}, load.statuses
    assert {content["reason"] for status, content in load.answers if status == 503} <= {"stopping"}
