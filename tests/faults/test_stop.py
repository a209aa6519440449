"""A gateway that is asked to end answers what it accepted, and refuses the rest so that it can be retried."""

import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.benchmark.load import Load, Samples
from deploy.benchmark.load.clients import Reply, reply_of
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import processes_below
from tests.helpers import slow_repository as slow
from tests.helpers.bystanders import DEADLINE, eventually, senders, stub_of, unhappy
from tests.helpers.prometheus_page import Page

CLIENTS = 8


def call(address: str, request: Any, *, ended: threading.Event | None = None) -> Reply:
    with stub_of(address) as stub:
        try:
            stub.ModelInfer(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            return reply_of(error)
    return Reply()


def accepted_by(gateway: GatewayServer) -> float:
    """Requests that it holds and has not answered."""
    page = Page.of(gateway)
    return page.value("qface_gateway_in_flight") + page.value("qface_gateway_waiting")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.heavy)])
def test_what_was_accepted_is_answered_and_what_comes_later_is_refused(
    tmp_path: Path, number: signal.Signals
) -> None:
    repository = slow.write(tmp_path / "repository", instances=CLIENTS)
    patient = ["--queue-seconds", "60"]  # half of them are with Triton, the others wait for a place
    with (
        GatewayServer(repository, arguments=patient) as gateway,
        ThreadPoolExecutor(CLIENTS + 1) as pool,
    ):
        address, supervisor = gateway.grpc_address, gateway.supervisor_pid
        accepted: list[Future[Reply]] = [
            pool.submit(call, address, slow.crop(slow.TAKES_LONG, 40)) for _ in range(CLIENTS)
        ]
        assert eventually(lambda: accepted_by(gateway) == CLIENTS)
        with stub_of(address) as stub:  # connected already: the door is shut to new connections
            assert stub.ModelInfer(slow.crop(0), timeout=DEADLINE)
            os.kill(supervisor, number)
            refused = Reply()
            while refused.code == "OK":
                try:
                    stub.ModelInfer(slow.crop(0), timeout=DEADLINE)
                except grpc.RpcError as error:
                    refused = reply_of(error)
        assert refused.code == "UNAVAILABLE", refused
        assert [future.result(timeout=2 * DEADLINE) for future in accepted] == [Reply()] * CLIENTS
        assert eventually(lambda: not processes_below(supervisor))


def test_nobody_loses_a_request_when_a_gateway_is_stopped_under_load(small: Path) -> None:
    """The requests that were begun before the signal are answered too, as far as they had arrived."""
    with GatewayServer(small) as stopping:
        samples = Samples(stopping.grpc_address, stopping.models)
        load = Load(
            senders(stopping.grpc_address, samples)[:6], deadline=DEADLINE
        )  # those that do not try again
        with load:
            load.wait_for(100)
            os.kill(stopping.supervisor_pid, signal.SIGTERM)
            assert eventually(lambda: any(outcome.code != "OK" for outcome in tuple(load.outcomes)))
        assert not unhappy(load), load.summary
        codes = {outcome.code for outcome in load.outcomes}
        assert codes <= {"OK", "UNAVAILABLE"}, load.summary
    print(load.summary)
