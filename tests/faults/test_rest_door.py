"""The REST door dies, and ends: every request has an answer or a cut connection, and gRPC is not harmed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.benchmark.load import End, Load, Samples
from deploy.benchmark.load.rest_sender import BROKEN, rest_sender
from deploy.benchmark.load.sample_requests import TOLERANCE
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import DEADLINE, eventually, senders, unhappy
from tests.helpers.paths import ASTRONAUT


@pytest.fixture(scope="module")
def gateway(small: Path) -> Iterator[GatewayServer]:
    with GatewayServer(small, rest_port=0) as running:
        yield running


def door(gateway: GatewayServer) -> dict[str, Any]:
    """Of the process that serves REST, as the status has it."""
    (found,) = (each for each in gateway.status()["further_fronts"] if each["door"] == "REST")
    return dict(found)


def photos(gateway: GatewayServer) -> Load:
    """Two clients; each holds all of its answers to the first one."""
    sender = rest_sender(gateway.rest_address, ASTRONAUT.read_bytes(), tolerance=TOLERANCE)
    return Load([sender] * 2, deadline=DEADLINE, pause=0.05)


def test_a_door_that_is_killed_under_load_comes_back_and_grpc_is_not_harmed(gateway: GatewayServer) -> None:
    pid = door(gateway)["pid"]
    # Few enough that photos find room beside them.
    few = senders(gateway.grpc_address, Samples(gateway.grpc_address, gateway.models))[:2]
    with Load(few, deadline=DEADLINE, pause=0.5) as bystanders, photos(gateway) as load:
        load.wait_for(4, timeout=4 * DEADLINE)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: door(gateway)["listening"] and door(gateway)["pid"] not in (pid, None))
        load.wait_for(4, timeout=4 * DEADLINE)
    # What it had at Triton was cut off, so another Triton may have taken over.
    assert not unhappy(bystanders), (bystanders.summary, unhappy(bystanders)[:3])
    assert not unhappy(load), (load.summary, unhappy(load)[:3])


def test_a_door_that_is_stopped_answers_what_it_took(gateway: GatewayServer) -> None:
    """The last of these tests, as the gateway ends with it."""
    with photos(gateway) as load:
        load.wait_for(4, timeout=4 * DEADLINE)
        os.kill(gateway.supervisor_pid, signal.SIGTERM)
        assert eventually(lambda: not gateway.running)
        assert eventually(lambda: any("Refused" in outcome.details for outcome in tuple(load.outcomes)))
    assert not unhappy(load), (load.summary, unhappy(load)[:3])
    refused = [outcome for outcome in load.outcomes if outcome.end is End.REFUSED]
    assert {outcome.code for outcome in refused} == {"UNAVAILABLE"}, refused[:3]
    untyped = [each for each in refused if not each.details.startswith(BROKEN)]
    assert all('"reason": "stopping"' in each.details for each in untyped), untyped[:3]
