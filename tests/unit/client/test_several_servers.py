"""One client of several servers: who gets its requests, and what addresses it takes."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse

from qface_client import AsyncFaceClient, ConnectError, FaceClient, InvalidInput, ServerBusy, Timeout, Tls
from qface_client._connection import authorization
from qface_client._connection.address import host_of, is_several, is_this_machine, target_of
from tests.helpers.bystanders import eventually
from tests.helpers.certificates import Authority
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of, refuse, running
from tests.helpers.name_server import NameServer

PHOTO = np.zeros((80, 100, 3), np.uint8)
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def fakes(count: int) -> list[FakeServer]:
    return [FakeServer(contract_of(classes("mood", ["glad", "sad"]))) for _ in range(count)]


@contextlib.contextmanager
def several(servers: Sequence[FakeServer], **arguments: Any) -> Iterator[str]:
    """The address of all of them."""
    with contextlib.ExitStack() as stack:
        yield ",".join(stack.enter_context(running(fake, **arguments)) for fake in servers)


@contextlib.contextmanager
def with_health(servers: Sequence[FakeServer]) -> Iterator[tuple[str, list[HealthServicer]]]:
    """The address of all, and what each says of its health: at first that it serves."""
    healths = [HealthServicer() for _ in servers]
    with contextlib.ExitStack() as stack:
        urls = [
            stack.enter_context(running(fake, health=health))
            for fake, health in zip(servers, healths, strict=True)
        ]
        yield ",".join(urls), healths


def all_are_asked(client: FaceClient, servers: Sequence[FakeServer]) -> bool:
    """One more photo; whether each server has had one by now."""
    client.analyze(PHOTO)
    return all(fake.infers for fake in servers)


def test_both_clients_ask_each_server_in_turn() -> None:
    servers = fakes(3)
    with several(servers) as url:
        with FaceClient(url) as client:
            assert eventually(lambda: all_are_asked(client, servers))  # once each is connected
            before = [fake.infers for fake in servers]
            for _ in range(9):
                client.analyze(PHOTO)
            assert [fake.infers - b for fake, b in zip(servers, before, strict=True)] == [3, 3, 3]

        async def talk() -> None:
            async with AsyncFaceClient(url) as twin:
                await asyncio.gather(*(twin.analyze(PHOTO) for _ in range(30)))

        before = [fake.infers for fake in servers]
        asyncio.run(talk())
        assert sum(fake.infers for fake in servers) - sum(before) == 30


def test_a_name_is_looked_up_for_all_its_servers_and_again_when_one_ends() -> None:
    first, second, third = fakes(3)
    soon = {"grpc.dns_min_time_between_resolutions_ms": 100}
    with contextlib.ExitStack() as stack:
        port = int(stack.enter_context(running(third, host="127.0.0.3")).rpartition(":")[2])
        stack.enter_context(running(second, host="127.0.0.2", port=port))
        names = stack.enter_context(NameServer("127.0.0.1", "127.0.0.2").running())
        url = f"dns://{names.address}/faces.example:{port}"
        client = stack.enter_context(FaceClient(url, options=soon))
        with running(first, port=port):
            assert eventually(lambda: all_are_asked(client, [first, second]))
            assert third.infers == 0
            names.addresses = ["127.0.0.2", "127.0.0.3"]
        assert eventually(lambda: all_are_asked(client, [third]))


def test_the_server_that_is_not_there_is_passed_over() -> None:
    (fake,) = fakes(1)
    with running(fake) as url, FaceClient(f"127.0.0.1:{closed_port()},{url}") as client:
        for _ in range(5):
            client.analyze(PHOTO)
    assert fake.infers == 5


def test_a_server_that_reports_itself_as_not_ready_gets_no_requests_until_it_is() -> None:
    servers = fakes(2)
    with with_health(servers) as (url, healths), FaceClient(url) as client:
        healths[0].set("", NOT_SERVING)
        for _ in range(4):
            client.analyze(PHOTO)
        assert [fake.infers for fake in servers] == [0, 4]
        healths[0].set("", SERVING)
        assert eventually(lambda: all_are_asked(client, servers))


def test_servers_of_which_none_is_ready_are_waited_for() -> None:
    servers = fakes(2)
    with with_health(servers) as (url, healths):
        for health in healths:
            health.set("", NOT_SERVING)
        with FaceClient(url, timeout=1) as client, pytest.raises(ServerBusy, match="none of them is ready"):
            client.analyze(PHOTO)
        # Beyond the second after which an address at which nothing answers is given up.
        with FaceClient(url) as client, later(lambda: healths[1].set("", SERVING), seconds=1.5):
            assert client.analyze(PHOTO)[0].mood.label == "glad"
    assert [fake.infers for fake in servers] == [0, 1]


def test_what_one_server_turns_away_another_answers() -> None:
    servers = fakes(2)
    servers[0].before_infer = refuse(99, grpc.StatusCode.UNAVAILABLE, "server is stopping")
    with several(servers) as url, FaceClient(url) as client:
        assert eventually(lambda: all_are_asked(client, servers))
        for _ in range(4):
            assert client.analyze(PHOTO)[0].mood.label == "glad"
    assert servers[0].infers > 0
    assert servers[1].infers > 4


def test_an_encrypted_connection_to_several_wants_the_name_of_their_certificates(tmp_path: Path) -> None:
    authority, servers = Authority(), fakes(2)
    chain, key = authority.issue(tmp_path, "server", "faces.example")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    tls = Tls(root_certificates=authority.write(tmp_path / "ca.pem"))
    with several(servers, credentials=credentials) as url:
        with pytest.raises(InvalidInput, match="ssl_target_name_override"):
            FaceClient(url, tls=tls)
        named = {"grpc.ssl_target_name_override": "faces.example"}
        with FaceClient(url, tls=tls, options=named) as client:
            assert eventually(lambda: all_are_asked(client, servers))


def test_where_no_server_is_the_error_names_all_addresses() -> None:
    url = f"127.0.0.1:{closed_port()},127.0.0.1:{closed_port()}"
    with FaceClient(url, timeout=Timeout(connect=0.3)) as client, pytest.raises(ConnectError) as caught:
        client.analyze(PHOTO)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("10.0.0.5:8001,10.0.0.6:8001", "ipv4:10.0.0.5:8001,10.0.0.6:8001"),
        ("10.0.0.5:8001, 10.0.0.6:8001", "ipv4:10.0.0.5:8001,10.0.0.6:8001"),
        ("ipv4:10.0.0.5:8001,10.0.0.6:8001", "ipv4:10.0.0.5:8001,10.0.0.6:8001"),
        ("[fd00::5]:8001,[fd00::6]:8001", "ipv6:[fd00::5]:8001,[fd00::6]:8001"),
        ("dns:///faces:8001", "dns:///faces:8001"),
    ],
)
def test_several_servers_are_what_grpc_calls_a_list_or_a_name(url: str, target: str) -> None:
    assert is_several(url)
    assert target_of(url) == target


@pytest.mark.parametrize("url", ["faces:8001", "10.0.0.5:8001", "[fd00::5]:8001", "unix:/run/a,b"])
def test_one_address_is_one_server(url: str) -> None:
    assert not is_several(url)
    assert target_of(url) == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ([], "the list of servers is empty"),
        (8001, "is a text such as 'faces:8001', or a list of them, not 8001"),
        (b"faces:8001", "or a list of them, not b'faces:8001'"),
        (["faces:8001", 8002], "or a list of them, not"),
        (["dns:///faces:8001", "b:8001"], "is its host:port, not 'dns:///faces:8001'"),
        (["127.0.0.1:1", "unix:/run/a"], "is its host:port, not 'unix:/run/a'"),
        (["http://a:8001", "b:8001"], "is its host:port, not 'http://a:8001'"),
        (["a:8001", ""], "is its host:port, not ''"),
        (["a:8001", "b"], "'b' of 'a:8001,b'"),
        ("a:8001,[b]:8001", r"'\[b\]:8001' of"),
        ("10.0.0.5:8001,10.0.0.6", "'10.0.0.6' of"),
        ("10.0.0.5:8001,", "'' of"),
        ("10.0.0.5:8001,10.0.0.6:80010", "'10.0.0.6:80010' of"),
        ("10.0.0.5:8001,[fd00::6]:8001", "all IPv4 or all IPv6"),
        ("ipv4:10.0.0.5", "'10.0.0.5' of 'ipv4:10.0.0.5'"),
        ("dns:///", "has no name: give dns:///NAME:PORT"),
        ("http://faces:8001,http://more:8001", "leave the scheme out, or give dns:///"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused_with_advice(url: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        FaceClient(url)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("127.0.0.1:1,127.0.0.2:1", True),
        ("dns:///localhost:1", True),
        ("127.0.0.1:1,10.0.0.5:1", False),
        ("dns:///faces:1", False),
        ("dns://10.0.0.1:53/localhost.example:1", False),
    ],
)
def test_a_key_goes_unencrypted_only_where_all_servers_are_on_this_machine(url: str, here: bool) -> None:
    assert is_this_machine(url) is here
    refused = contextlib.nullcontext() if here else pytest.raises(InvalidInput, match=host_of(url))
    with refused:
        authorization("key", url=url, encrypted=False, insecure_key=False)


@contextlib.contextmanager
def later(happens: Callable[[], None], *, seconds: float) -> Iterator[None]:
    """Does something after a time."""
    timer = threading.Timer(seconds, happens)
    timer.start()
    try:
        yield
    finally:
        timer.join()
