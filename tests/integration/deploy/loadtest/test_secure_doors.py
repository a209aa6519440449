"""Load tests of servers with TLS and keys: what is wrong is one sentence before the load."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from deploy.benchmark.front_processes import MODEL, SIDE, write_repository
from deploy.gateway.identity.keys_command import main as keys_command
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Reply, Target
from deploy.loadtest.work.question import Question
from tests.helpers.certificates import Authority
from tests.helpers.gateways import PATIENT

SECONDS = 60.0
CROP = Question(
    kind="crop",
    model=MODEL,
    inputs={"crop": np.zeros((1, SIDE, SIDE, 3), np.uint8)},
    outputs=("answer",),
    photo=b"no picture",
)
BOTH = ("grpc", "rest")
KEYED, MUTUAL = "keys", "mutual TLS"
# What a call ends with that came through, of a server without a photo model.
THROUGH = {"grpc": "OK", "rest": "NOT_FOUND"}


@dataclasses.dataclass(frozen=True)
class Running:
    """Two gateways whose certificate has the name localhost alone, and files of callers."""

    servers: dict[str, GatewayServer]
    folder: Path
    key: str

    def target(self, protocol: str, server: str) -> Target:
        """With all that the server wants of a caller."""
        running = self.servers[server]
        address = {"grpc": running.grpc_address, "rest": running.rest_address}[protocol]
        good = Target(
            protocol=protocol,
            address=address.replace("127.0.0.1", "localhost"),
            secure=True,
            authorities=self.folder / "ca.pem",
        )
        if server == KEYED:
            return dataclasses.replace(good, metadata=(("Authorization", f"Bearer {self.key}"),))
        files = {"certificate": self.folder / "client.pem", "private_key": self.folder / "client.key"}
        return dataclasses.replace(good, **files)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("secure")
    authority, other = Authority(), Authority()
    authority.write(folder / "ca.pem")
    other.write(folder / "other.pem")
    certificate, private_key = authority.issue(folder, "server", "localhost")
    authority.issue(folder, "client", common_name="a load test")
    repository = write_repository(folder / "repository")
    keys = folder / "keys.toml"
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda text="", **_: printed.append(str(text)))
        assert keys_command(["add", "load", "--file", str(keys)]) == 0
    words = ("--certificate", str(certificate), "--private-key", str(private_key), *PATIENT)
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(GatewayServer(repository, rest_port=0, arguments=(*words, *more)))
            for name, more in {
                KEYED: ("--keys", str(keys)),
                MUTUAL: ("--client-authorities", str(folder / "ca.pem")),
            }.items()
        }
        key = next(line for line in printed if line.startswith("qface_"))
        yield Running(servers=servers, folder=folder, key=key)


def end(target: Target) -> Reply:
    """How one request ends."""

    async def asked() -> Reply:
        door = doors[target.protocol]
        connection = door.connect(target)
        try:
            return await connection.ask(door.message(CROP), deadline=SECONDS)
        finally:
            await connection.close()

    return asyncio.run(asked())


@pytest.mark.parametrize("server", [KEYED, MUTUAL])
@pytest.mark.parametrize("protocol", BOTH)
def test_who_has_key_or_certificate_comes_through(running: Running, protocol: str, server: str) -> None:
    assert end(running.target(protocol, server)).code == THROUGH[protocol]


def test_a_described_server_has_its_models(running: Running) -> None:
    for server in running.servers:
        described = doors["grpc"].describe(running.target("grpc", server), timeout=SECONDS)
        assert list(described["models"]) == [MODEL]


MISTAKES: dict[str, tuple[str, Callable[[Running, Target], Target], str]] = {
    "no key": (KEYED, lambda running, good: dataclasses.replace(good, metadata=()), "needs an API key"),
    "another key": (
        KEYED,
        lambda running, good: dataclasses.replace(good, metadata=(("authorization", "Bearer x"),)),
        "key that was sent is unknown",
    ),
    "no TLS": (KEYED, lambda running, good: dataclasses.replace(good, secure=False), "it may speak TLS"),
    "another authority": (
        KEYED,
        lambda running, good: dataclasses.replace(good, authorities=running.folder / "other.pem"),
        "authorities did not sign",
    ),
    "the system's authorities": (
        KEYED,
        lambda running, good: dataclasses.replace(good, authorities=None),
        "authorities did not sign",
    ),
    "another name": (
        KEYED,
        lambda running, good: dataclasses.replace(
            good, address=good.address.replace("localhost", "127.0.0.1")
        ),
        "of another name",
    ),
    "a file that is not there": (
        KEYED,
        lambda running, good: dataclasses.replace(good, authorities=running.folder / "gone.pem"),
        r"gone\.pem can't be read",
    ),
    "a file that is no PEM file": (
        KEYED,
        lambda running, good: dataclasses.replace(good, authorities=running.folder / "keys.toml"),
        r"keys\.toml is no PEM file",
    ),
    "no certificate": (
        MUTUAL,
        lambda running, good: dataclasses.replace(good, certificate=None, private_key=None),
        "it may want a client's certificate",
    ),
    "half a certificate": (
        MUTUAL,
        lambda running, good: dataclasses.replace(good, private_key=None),
        "belong together",
    ),
    "another's private key": (
        MUTUAL,
        lambda running, good: dataclasses.replace(good, private_key=running.folder / "server.key"),
        "do not match|belong together",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("protocol", BOTH)
def test_a_mistake_is_one_sentence_without_the_key(running: Running, protocol: str, mistake: str) -> None:
    server, wrong, sentence = MISTAKES[mistake]
    target = wrong(running, running.target(protocol, server))
    with pytest.raises(ConnectionError, match=sentence) as error:
        doors[protocol].describe(target, timeout=SECONDS)
    assert running.key not in str(error.value)


@pytest.mark.parametrize("protocol", BOTH)
def test_a_request_without_a_key_ends_as_such(running: Running, protocol: str) -> None:
    target = dataclasses.replace(running.target(protocol, KEYED), metadata=())
    assert end(target).code == "UNAUTHENTICATED"


@pytest.mark.parametrize("protocol", BOTH)
def test_the_other_port_behind_tls_is_a_sentence(running: Running, protocol: str) -> None:
    other = running.target("rest" if protocol == "grpc" else "grpc", KEYED)
    with pytest.raises(ConnectionError, match=f"{other.address} (speaks no gRPC|ended the connection)"):
        doors[protocol].describe(dataclasses.replace(other, protocol=protocol), timeout=SECONDS)
