"""Clients that leave while an ensemble works for them harm nobody: the quick form, on each ensemble.

Without the gateway each of the three ends Triton by SIGSEGV, after 3,000 to 7,000 clients. So few as here
would often not do that: what always shows is that the gateway's own calls go on, which is what protects
Triton. `make faults ARGS="--only leaving"` lets 1,000 leave each ensemble.
"""

from collections.abc import Callable, Sequence

import pytest

from deploy.benchmark.load import Samples, leaving
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import eventually, unharmed
from tests.helpers.prometheus_page import Page

TIMES = 50


def expire(address: str, messages: Sequence[bytes]) -> int:
    return leaving.expire(address, messages, times=TIMES)["DEADLINE_EXCEEDED"]


def cancel(address: str, messages: Sequence[bytes]) -> int:
    # To a server a cancelled call looks like an expired one, but for its time: fewer will do.
    return 2 * leaving.cancel(address, messages, times=TIMES // 2)["CANCELLED"]


def kill(address: str, messages: Sequence[bytes]) -> int:
    return leaving.kill_clients(address, messages[0], clients=TIMES, each=TIMES)


ABANDONED = "qface_gateway_abandoned_total"


@pytest.mark.parametrize(
    "leave", [*(pytest.param(leave, marks=pytest.mark.heavy) for leave in (expire, cancel)), kill]
)
def test_clients_that_leave_every_ensemble_cost_nobody_an_answer(
    gateway: GatewayServer, samples: Samples, leave: Callable[[str, Sequence[bytes]], int]
) -> None:
    assert len(samples.ensembles) > 3
    before = Page.of(gateway).by("model", ABANDONED)
    with unharmed(gateway, samples) as load:
        left = {name: leave(gateway.grpc_address, samples.messages(name)) for name in samples.ensembles}
    assert all(times >= TIMES for times in left.values()), left
    # They have not only been waiting at the door: Triton had work that nobody waited for any more.
    after = Page.of(gateway).by("model", ABANDONED)
    abandoned = {name: after.get(name, 0) - before.get(name, 0) for name in samples.ensembles}
    print(f"{leave.__name__}: {left} left, {abandoned} of them while Triton worked; {load.summary}")
    assert any(abandoned.values()), abandoned


def test_what_was_abandoned_gives_its_place_back(gateway: GatewayServer) -> None:
    assert eventually(lambda: Page.of(gateway).value("qface_gateway_in_flight") == 0)
    assert Page.of(gateway).value("qface_gateway_waiting") == 0
