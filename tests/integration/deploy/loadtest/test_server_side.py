"""The server's side of a load on planted models that the real Triton serves, alone and behind the gateway."""

import concurrent.futures
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.embedded import EmbeddedServer
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.protocols.v2_grpc import request_of
from deploy.loadtest.results import Server
from deploy.loadtest.server.side import ServerSide, server_side
from deploy.loadtest.server.split import GATEWAY, NETWORK, OUTSIDE, WAITING
from deploy.measuring.server_processes import ServerProcesses
from qface_client.measuring.histogram import Histogram
from tests.helpers import three_steps
from tests.helpers.bystanders import eventually
from tests.helpers.embedded_servers import HURRIED
from tests.helpers.gateways import PATIENT

KIND = "one row"
POST_MS = 50
REQUESTS = 16


@pytest.fixture(autouse=True, scope="module")
def no_idle_load() -> Iterator[None]:
    """What the processes take while nobody calls is not looked at: it takes a second, and is up to chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerProcesses, "idle_load", lambda self, seconds: {})
        yield


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_steps.write(tmp_path_factory.mktemp("slow"), post=POST_MS)


@pytest.fixture(scope="module")
def triton(slow: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(slow, http_port=0, grace=HURRIED) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(slow: Path) -> Iterator[GatewayServer]:
    with GatewayServer(slow, rest_port=0, arguments=PATIENT) as server:
        yield server


def send(address: str, requests: int = REQUESTS) -> dict[str, Histogram]:
    """The latencies of requests of four clients at a time; returns once the server has counted them all."""
    request = request_of(three_steps.question())
    with grpc.insecure_channel(address) as channel:
        stub = v2_grpc.GRPCInferenceServiceStub(channel)
        counted = counts(stub)

        def ask(number: int) -> float:
            began = time.monotonic()
            stub.ModelInfer(request, timeout=60, wait_for_ready=True)
            return time.monotonic() - began

        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            latency = {KIND: Histogram.of(list(clients.map(ask, range(requests))))}
        # Triton counts an answer a moment after it gave it.
        assert eventually(lambda: all(counts(stub)[model] >= counted[model] + requests for model in counted))
        return latency


def counts(stub: v2_grpc.GRPCInferenceServiceStub) -> dict[str, int]:
    """How many requests each model has answered."""
    found = stub.ModelStatistics(v2.ModelStatisticsRequest(), timeout=60, wait_for_ready=True)
    return {model.name: model.inference_stats.success.count for model in found.model_stats}


def side_of(address: str, *, protocol: str = "grpc", **further: str) -> ServerSide:
    return server_side(Target(protocol=protocol, address=address), [three_steps.question()], **further)


def measured(side: ServerSide, address: str) -> tuple[Server, float]:
    """The server's side of some requests, and their mean latency in milliseconds."""
    with side:
        side.begin()
        latency = send(address)
        return side.end(latency=latency, client_core_seconds=0.16), 1e3 * latency[KIND].mean


@pytest.fixture(scope="module")
def alone(triton: EmbeddedServer) -> tuple[Server, float]:
    """What was measured of the Triton."""
    return measured(side_of(triton.grpc_address), triton.grpc_address)


def test_the_split_of_a_triton_names_the_slow_step(alone: tuple[Server, float]) -> None:
    server, mean_ms = alone
    parts = server.parts[KIND]
    assert sum(parts.values()) == pytest.approx(mean_ms)
    assert max(three_steps.STEPS, key=lambda step: parts[step]) == "post"
    assert parts["post"] >= POST_MS  # it sleeps for no less
    assert parts["post"] < mean_ms - parts["engine"]
    assert OUTSIDE in parts
    assert server.notes == []


def test_steps_are_counted_with_the_sizes_of_their_batches(alone: tuple[Server, float]) -> None:
    steps = {step.model: step for step in alone[0].steps}
    assert {step: steps[step].requests for step in steps} == dict.fromkeys(
        (*three_steps.STEPS, three_steps.NAME), REQUESTS
    )
    sizes = steps["engine"].infer_by_batch
    assert sum(int(size) * executions for size, (executions, _) in sizes.items()) == REQUESTS
    assert steps["engine"].batch == REQUESTS / sum(executions for executions, _ in sizes.values())
    assert set(steps["post"].infer_by_batch) == {"1"}


def test_the_processes_of_a_triton_are_found_by_its_port(alone: tuple[Server, float]) -> None:
    server, _ = alone
    assert server.core_ms["client"] == pytest.approx(10)
    assert "tritonserver" in server.core_ms
    assert {"tritonserver", *three_steps.STEPS} <= set(server.memory)


def test_the_protocol_over_http_gives_the_same(triton: EmbeddedServer) -> None:
    side = side_of(triton.http_address, protocol="http")
    server, _ = measured(side, triton.grpc_address)
    assert server.parts[KIND]["post"] >= POST_MS
    assert {step.model for step in server.steps} == {*three_steps.STEPS, three_steps.NAME}
    assert server.notes == []


def test_a_server_that_is_gone_is_notes(triton: EmbeddedServer) -> None:
    with side_of(triton.grpc_address) as side:
        before = side.look()
        triton.stop()
        latency = {KIND: Histogram.of([0.1])}
        found = side.between(before, side.look(), latency=latency, client_core_seconds=0.1)
    assert (found.parts, list(found.steps), found.core_ms) == ({}, [], {})
    assert any("the models' statistics can't be read" in note for note in found.notes)
    assert any("processor time can't be read" in note for note in found.notes)


def test_a_gateway_has_its_own_time_and_the_wait_in_it(gateway: GatewayServer) -> None:
    page = f"http://{gateway.http_address}/metrics"
    side = side_of(gateway.grpc_address, metrics_url=page)
    server, mean_ms = measured(side, gateway.grpc_address)
    parts = server.parts[KIND]
    assert sum(parts.values()) == pytest.approx(mean_ms)
    assert {WAITING, GATEWAY, NETWORK} <= set(parts)
    assert parts["post"] >= POST_MS
    assert {"gateway", "tritonserver"} <= set(server.core_ms)
    assert {"supervisor", "main process", "tritonserver", "post"} <= set(server.memory)
    assert server.in_flight_limit > 0
    assert server.notes == []


def test_rest_has_statistics_where_the_grpc_address_is_given(gateway: GatewayServer) -> None:
    without, _ = measured(side_of(gateway.rest_address, protocol="rest"), gateway.grpc_address)
    assert without.parts == {}
    assert any("no gRPC address was given" in note for note in without.notes)
    given = side_of(gateway.rest_address, protocol="rest", grpc_address=gateway.grpc_address)
    server, _ = measured(given, gateway.grpc_address)
    assert server.parts[KIND]["post"] >= POST_MS
    assert {"gateway", "tritonserver"} <= set(server.core_ms)  # though a front process listens at this port


def test_another_triton_in_between_is_a_note(gateway: GatewayServer, tmp_path: Path) -> None:
    other = three_steps.write(tmp_path / "other")
    page = f"http://{gateway.http_address}/metrics"
    with (
        side_of(gateway.grpc_address, metrics_url=page) as side,
        side_of(gateway.grpc_address) as without_page,
    ):
        before, too = side.look(), without_page.look()
        latency = send(gateway.grpc_address, 4)
        gateway.swap(other)
        known = side.between(before, side.look(), latency=latency, client_core_seconds=0.1)
        unknown = without_page.between(too, without_page.look(), latency=latency, client_core_seconds=0.1)
    assert any("changed to another Triton" in note for note in known.notes)
    assert any("began anew while it was measured" in note for note in unknown.notes)
    assert any("processes of the server ended or began" in note for note in known.notes)
    assert (list(known.steps), known.core_ms) == ([], {})
