"""A request that kills the model that works on it costs two Tritons at most, and nobody else an answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.benchmark.faults.whole import is_ready
from deploy.benchmark.load import End, Load, Samples, raw_sender
from deploy.benchmark.load.clients import Reply
from deploy.gateway.operation.service import GatewayServer
from tests.faults.test_stop import call
from tests.helpers import slow_repository as slow
from tests.helpers.bystanders import DEADLINE, eventually, unhappy
from tests.helpers.prometheus_page import Page

REPAIRS = "qface_gateway_repairs_total"
TIMES = 5


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayServer]:
    repository = slow.write(tmp_path / "repository", further="bystander")
    log = tmp_path / "gateway.log"
    with log.open("w") as sink, GatewayServer(repository, log=sink) as running:
        yield running


def test_a_request_that_kills_its_model_is_refused_from_then_on(gateway: GatewayServer) -> None:
    samples = Samples(gateway.grpc_address, gateway.models, size=8)
    main = gateway.pid
    loading = [
        raw_sender(gateway.grpc_address, samples, model, first=number)
        for number, model in enumerate(["echo", "bystander"] * 4)
    ]
    with Load(loading, deadline=DEADLINE, pause=0.02) as load:
        load.wait_for(16)
        replies: list[Reply] = []
        for _ in range(TIMES):
            replies.append(call(gateway.grpc_address, slow.crop(slow.DIES)))
            load.wait_for(16, timeout=4 * DEADLINE)
        repaired = Page.of(gateway).value(REPAIRS)
        assert eventually(lambda: is_ready(gateway))
        # Another request that does the same is another digest: it gets its own two tries.
        other = call(gateway.grpc_address, slow.crop(slow.DIES, 1))
        load.wait_for(16, timeout=4 * DEADLINE)
    assert [reply.code for reply in replies] == ["INTERNAL"] * TIMES, replies
    assert other.code == "INTERNAL"
    assert 1 <= repaired <= 2, "the same request was let through a third time"
    assert gateway.pid == main
    assert not unhappy(load), load.summary
    # Between the two Tritons nobody has one to be sent to, and with the second the killer is alone: others
    # wait meanwhile, or are to come again.
    refused = {outcome.code for outcome in load.outcomes if outcome.end is End.REFUSED}
    assert refused <= {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}, load.summary
    print(load.summary)
