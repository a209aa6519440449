"""A gateway of several front processes has the limits, rates and numbers of one."""

import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.gateway.identity.keys_command import main as keys_command
from deploy.gateway.observability.pages import LONGEST_PAGE_SECONDS
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import slow_repository
from tests.helpers.bystanders import eventually
from tests.helpers.slow_repository import TAKES_LONG, crop

IN_FLIGHT = 2  # as many as admission always lets go
RATE = 10  # requests a second of the key that has one
AT_ONCE = 8
Header = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.toml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[GatewayServer]:
    repository = slow_repository.write(tmp_path_factory.mktemp("repository") / "of", instances=AT_ONCE)
    assert keys_command(["add", "first", "--file", str(keys)]) == 0
    arguments = ("--processes", "3", "--keys", str(keys), "--in-flight", str(IN_FLIGHT))
    with GatewayServer(repository, arguments=arguments) as running:
        yield running


@pytest.fixture
def header(keys: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Header:
    """A key of its own for each test."""
    rate = getattr(request, "param", None)
    name = re.sub(r"\W", "-", request.node.name)
    words = () if rate is None else ("--rate", str(rate))
    assert keys_command(["add", name, "--file", str(keys), *words]) == 0
    return [("authorization", f"Bearer {capsys.readouterr().out.strip()}"), ("name", name)]


@contextmanager
def connections(server: GatewayServer, count: int) -> Iterator[list[Any]]:
    """Stubs on so many connections."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(server.grpc_address, options=options))
            for _ in range(count)
        ]
        for channel in channels:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield [v2_grpc.GRPCInferenceServiceStub(channel) for channel in channels]


@contextmanager
def connection_of_a_further_front(server: GatewayServer) -> Iterator[Any]:
    """A stub on a connection that the kernel gave to another front than the main process."""

    def accepted() -> int:
        fronts = server.status()["further_fronts"]
        return sum(len(psutil.Process(front["pid"]).net_connections("tcp")) for front in fronts)

    with ExitStack() as stack:
        for _ in range(100):
            before = accepted()
            (stub,) = stack.enter_context(connections(server, 1))
            if accepted() > before:
                yield stub
                return
        raise AssertionError("the main process has all of a hundred connections")


def code_of(stub: Any, request: Any, header: Header) -> grpc.StatusCode:
    try:
        stub.ModelInfer(request, timeout=60, metadata=header)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def counted(server: GatewayServer, series: str, **labels: str) -> float:
    """The sum of a counter's series with these labels, once a page made before now is shown no more."""
    time.sleep(LONGEST_PAGE_SECONDS + 0.1)
    page = urllib.request.urlopen(f"http://{server.http_address}/metrics", timeout=60).read().decode()
    wanted = {f'{name}="{value}"' for name, value in labels.items()}
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(f"qface_gateway_{series}_total{{") and wanted <= set(re.split("[{},]", line))
    )


def wait_for_key(server: GatewayServer, stub: Any, header: Header) -> None:
    """Until the fronts have read the file again: all of them have when the control socket has answered."""
    server.reload()
    assert eventually(lambda: code_of(stub, crop(1), header) is not grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize("channels", [1, AT_ONCE])
def test_work_with_triton_is_limited_for_all_fronts_together(
    server: GatewayServer, header: Header, channels: int
) -> None:
    seen = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(server.status()["in_flight"])

    with connections(server, channels) as stubs, ThreadPoolExecutor(AT_ONCE + 1) as pool:
        for stub in stubs:
            wait_for_key(server, stub, header)
        watching = pool.submit(watch)
        codes = list(
            pool.map(
                lambda number: code_of(stubs[number % channels], crop(TAKES_LONG, 20), header), range(AT_ONCE)
            )
        )
        done.set()
        watching.result()
    assert max(seen) == IN_FLIGHT
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize("channels", [1, 12])
@pytest.mark.parametrize("header", [RATE], indirect=True)
def test_a_keys_rate_is_one_for_all_fronts(server: GatewayServer, header: Header, channels: int) -> None:
    with connections(server, channels) as stubs:
        for stub in stubs:
            wait_for_key(server, stub, header)
        name = dict(header)["name"]
        before = counted(server, "client_requests", client=name)
        time.sleep(1.0)  # a second's worth may be sent at once
        began = time.monotonic()
        codes = [code_of(stubs[number % channels], crop(1), header) for number in range(6 * RATE)]
        seconds = time.monotonic() - began
    answered = codes.count(grpc.StatusCode.OK)
    assert RATE <= answered <= RATE * (1 + seconds) + 1
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == len(codes) - answered
    assert counted(server, "client_requests", client=name) - before == answered


def test_metrics_count_what_every_front_did(server: GatewayServer, header: Header) -> None:
    with connections(server, 12) as stubs:
        for stub in stubs:
            wait_for_key(server, stub, header)
        answered = counted(server, "requests", model="echo", outcome="answered")
        refused = counted(server, "refused", reason="unknown_model")
        for stub in stubs:
            assert code_of(stub, crop(1), header) is grpc.StatusCode.OK
            assert code_of(stub, crop(1, model="missing"), header) is grpc.StatusCode.NOT_FOUND
    assert eventually(
        lambda: counted(server, "requests", model="echo", outcome="answered") == answered + len(stubs)
    )
    assert eventually(lambda: counted(server, "refused", reason="unknown_model") == refused + len(stubs))


def test_a_further_front_states_where_an_answers_time_went(server: GatewayServer, header: Header) -> None:
    with connection_of_a_further_front(server) as stub:
        wait_for_key(server, stub, header)
        _, call = stub.ModelInfer.with_call(crop(1), timeout=60, metadata=header)
    stated = dict(call.trailing_metadata())["server-timing"]
    assert re.findall(r"(\w+);dur=", stated) == ["total", "queue", "triton"]


def test_a_killed_front_costs_no_client_that_tries_again_its_answer(
    server: GatewayServer, header: Header
) -> None:
    before = server.status()

    def until_answered(stub: Any) -> list[grpc.StatusCode]:
        codes = [code_of(stub, crop(TAKES_LONG, 10), header)]
        end = time.monotonic() + 60
        while codes[-1] is not grpc.StatusCode.OK and time.monotonic() < end:
            time.sleep(0.1)
            codes.append(code_of(stub, crop(TAKES_LONG, 1), header))
        return codes

    with (
        connection_of_a_further_front(server) as cut_off,
        connections(server, 10) as stubs,
        ThreadPoolExecutor(12) as pool,
    ):
        for stub in (cut_off, *stubs):
            wait_for_key(server, stub, header)
        asked = [pool.submit(until_answered, cut_off) for _ in range(IN_FLIGHT)]
        assert eventually(lambda: server.status()["in_flight"] == IN_FLIGHT)
        asked += [pool.submit(until_answered, stub) for stub in stubs]
        for front in before["further_fronts"]:
            os.kill(front["pid"], signal.SIGKILL)
        codes = [answer.result() for answer in asked]
    assert {answered[-1] for answered in codes} == {grpc.StatusCode.OK}
    assert {code for answered in codes for code in answered} <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    assert eventually(lambda: all(front["listening"] for front in server.status()["further_fronts"]))
    # Calls to it were cut off.
    assert eventually(lambda: server.status()["generation"] > before["generation"])
    after = server.status()
    assert after["pid"] == before["pid"]
    assert {front["pid"] for front in after["further_fronts"]}.isdisjoint(
        front["pid"] for front in before["further_fronts"]
    )
    assert after["in_flight"] == 0
