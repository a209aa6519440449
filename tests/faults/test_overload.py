"""Four times as much as can be answered: what is too much is refused at once, typed, and counted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.benchmark.load import End, Load, Samples, raw_sender
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import slow_repository as slow
from tests.helpers.bystanders import DEADLINE, unhappy
from tests.helpers.prometheus_page import Page

CLIENTS = 8
REFUSED = "qface_gateway_refused_total"
SECONDS = 5


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayServer]:
    """Its one model answers ten requests a second."""
    repository = slow.write(tmp_path / "repository")
    with GatewayServer(repository) as running:
        yield running


def test_what_is_too_much_is_refused_with_a_time_to_come_back(gateway: GatewayServer) -> None:
    samples = Samples(gateway.grpc_address, gateway.models, size=4, variants=1)
    sample = samples.of("echo", 0)
    sample.request.CopyFrom(slow.crop(slow.TAKES_LONG, 1))
    sample.expected.raw_output_contents[0] = sample.request.raw_input_contents[0]
    main, triton = gateway.pid, gateway.triton_pid
    loading = [raw_sender(gateway.grpc_address, samples, "echo") for _ in range(CLIENTS)]
    with Load(loading, deadline=DEADLINE, rate=4 * 10 / CLIENTS, patient=False) as load:
        load.wait_for(10 * SECONDS, timeout=20 * SECONDS)
    print(load.summary)
    assert not unhappy(load), load.summary
    refused = [outcome for outcome in load.outcomes if outcome.end is End.REFUSED]
    assert {outcome.code for outcome in refused} == {"RESOURCE_EXHAUSTED"}, load.summary
    assert all(outcome.pushback is not None and outcome.pushback > 0 for outcome in refused)
    assert all(outcome.details for outcome in refused)
    by_reason = Page.of(gateway).by("reason", REFUSED)
    assert sum(by_reason.values()) == len(refused), by_reason
    print(by_reason)
    assert (gateway.pid, gateway.triton_pid) == (main, triton)
