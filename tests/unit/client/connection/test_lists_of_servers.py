"""`FaceClient(["a:8001", "b:8001"])`: several servers by their names, which are looked up when it is made."""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import AsyncFaceClient, ConnectError, FaceClient, InvalidInput, Tls
from qface_client._connection.address import common_name, joined, target_of
from tests.helpers.bystanders import eventually
from tests.helpers.certificates import Authority
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running

PHOTO = np.zeros((80, 100, 3), np.uint8)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str]]:
    """The addresses that names are found to have; other names have none."""
    known: dict[str, Sequence[str]] = {}

    def getaddrinfo(host: str, port: Any, **rest: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            (families[":" in address], socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def fakes(count: int) -> list[FakeServer]:
    return [FakeServer(contract_of(classes("mood", ["glad", "sad"]))) for _ in range(count)]


def answered_by_all(client: FaceClient, servers: Sequence[FakeServer]) -> bool:
    client.analyze(PHOTO)
    return all(server.infers for server in servers)


@pytest.mark.parametrize("several", [list, tuple])
def test_a_list_of_names_is_a_list_of_servers(names: Mapping[str, Sequence[str]], several: Any) -> None:
    names.update(one=["127.0.0.1"], two=["127.0.0.2"])  # type: ignore[attr-defined]
    servers = fakes(2)
    with running(servers[0]) as first, running(servers[1], host="127.0.0.2") as second:
        urls = several(
            [f"one:{first.rpartition(':')[2]}", f"two:{second.rpartition(':')[2]}"]
        )  # ports of their own
        with FaceClient(urls) as client:
            assert eventually(lambda: answered_by_all(client, servers))

        async def ask() -> None:
            async with AsyncFaceClient(urls) as twin:
                assert (await twin.analyze(PHOTO))[0].mood.label == "glad"

        asyncio.run(ask())


def test_a_list_of_one_is_that_server() -> None:
    (fake,) = fakes(1)
    with running(fake, host="localhost") as url, FaceClient([url]) as client:
        client.analyze(PHOTO)
    assert joined(["unix:/run/a,b"]) == "unix:/run/a,b"
    assert joined(["dns:///faces:8001"]) == "dns:///faces:8001"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (["a:1", "b:2"], "ipv4:10.0.0.1:1,10.0.0.2:2,10.0.0.3:2"),
        ("a:1, b:2", "ipv4:10.0.0.1:1,10.0.0.2:2,10.0.0.3:2"),
        (["a:1", "a:2", "10.0.0.9:1"], "ipv4:10.0.0.1:1,10.0.0.1:2,10.0.0.9:1"),
        (["a:1", "a:1"], "ipv4:10.0.0.1:1"),
        (["a:1", "six:2"], "ipv6:[fd00::1]:1,[fd00::6]:2"),
        (["six:1", "[fd00::7]:2"], "ipv6:[fd00::6]:1,[fd00::7]:2"),
    ],
)
def test_each_name_is_looked_up_for_all_its_addresses_of_the_sort_that_all_have(
    names: dict[str, Sequence[str]], url: Any, target: str
) -> None:
    names.update(a=["fd00::1", "10.0.0.1"], b=["10.0.0.2", "10.0.0.3"], six=["fd00::6"])
    assert target_of(joined(url)) == target


def test_servers_without_an_address_of_one_sort_are_refused(names: dict[str, Sequence[str]]) -> None:
    names.update(four=["10.0.0.2"], six=["fd00::6"])
    with pytest.raises(InvalidInput, match="all IPv4 or all IPv6, not four, six"):
        FaceClient(["four:1", "six:1"])


def test_a_name_without_an_address_is_left_out_with_a_line_in_the_log(
    names: dict[str, Sequence[str]], caplog: pytest.LogCaptureFixture
) -> None:
    names.update(here=["127.0.0.1"])
    (fake,) = fakes(1)
    with caplog.at_level(logging.WARNING, "qface_client"), running(fake) as url:
        port = url.rpartition(":")[2]
        with FaceClient([f"gone:{port}", f"here:{port}"]) as client:
            client.analyze(PHOTO)
    assert [record.getMessage() for record in caplog.records] == [
        "gone has no address (Name or service not known): the other servers are asked without it"
    ]


def test_where_no_name_has_an_address_the_error_names_them_all(names: dict[str, Sequence[str]]) -> None:
    for client in (FaceClient, AsyncFaceClient):
        with pytest.raises(
            ConnectError, match=r"gone \(Name or service not known\), away \(Name .*check"
        ) as caught:
            client(["gone:8001", "away:8001"])
        assert caught.value.retryable


def test_a_name_that_the_dns_cannot_have_is_a_name_without_an_address() -> None:
    with pytest.raises(ConnectError, match="no server has an address"):
        FaceClient([f"{'x' * 70}:1", f"{'y' * 70}:1"])


@pytest.mark.parametrize(
    ("url", "name"),
    [("a:1,a:2", "a"), ("a:1,b:1", None), ("10.0.0.5:1,10.0.0.5:2", None), ("a:1,10.0.0.5:1", None)],
)
def test_certificates_are_checked_by_the_name_that_all_servers_have(url: str, name: str | None) -> None:
    assert common_name(url) == name


def test_an_encrypted_connection_to_servers_of_one_name_needs_no_option(
    names: dict[str, Sequence[str]], tmp_path: Path
) -> None:
    names.update({"faces.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    authority, servers = Authority(), fakes(2)
    chain, key = authority.issue(tmp_path, "server", "faces.example")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    tls = Tls(root_certificates=authority.write(tmp_path / "ca.pem"))
    with (
        running(servers[0], credentials=credentials) as one,
        running(servers[1], credentials=credentials) as two,
    ):
        ports = [url.rpartition(":")[2] for url in (one, two)]
        with FaceClient([f"faces.example:{port}" for port in ports], tls=tls) as client:
            assert eventually(lambda: answered_by_all(client, servers))
        with pytest.raises(InvalidInput, match="ssl_target_name_override"):
            FaceClient([f"faces.example:{ports[0]}", f"other.example:{ports[1]}"], tls=tls)
