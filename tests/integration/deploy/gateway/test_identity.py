"""TLS, mutual TLS and keys over real connections of grpc.aio; certificates are replaced meanwhile."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.embedded.errors import CannotStart
from deploy.gateway.identity import Identities, server_credentials
from deploy.gateway.identity.keys_command import main as keys_command
from deploy.gateway.operation.service import GatewayServer
from deploy.gateway.options import Identity
from deploy.gateway.refusals import Refusal
from tests.helpers import tiny_repository
from tests.helpers.certificates import Authority

OURS, OTHER = Authority(), Authority()


class Naming(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers every call with its caller's name."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def service(self, _details: object) -> Any:
        async def name(_request: bytes, context: Any) -> bytes:
            try:
                caller = self._identities.identify(context.invocation_metadata(), context.auth_context)
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.sentence)
                raise
            return caller.name.encode()

        return grpc.unary_unary_rpc_method_handler(name)


@asynccontextmanager
async def serving(identity: Identity, log: list[str]) -> AsyncIterator[str]:
    """A server with the credentials of an identity; its address."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Naming(Identities(identity, log=log.append)),))
    credentials = server_credentials(identity, log=log.append)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


async def call(
    address: str,
    *,
    trust: Authority | None = OURS,
    pair: tuple[Path, Path] | None = None,
    metadata: Iterable[tuple[str, str]] = (),
) -> str:
    """The caller's name by one call over a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if trust is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        chain, key = (None, None) if pair is None else (path.read_bytes() for path in pair)
        credentials = grpc.ssl_channel_credentials(trust.pem, key, chain)
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        answer = await channel.unary_unary("/any/method")(b"", timeout=20, metadata=tuple(metadata))
        return bytes(answer).decode()


async def code_of(address: str, **arguments: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(address, **arguments)
    return raised.value.code()


def identity(folder: Path, *, mutual: bool = False, keys: Path | None = None) -> Identity:
    certificate, key = OURS.issue(folder, "server")
    return Identity(
        certificate=certificate,
        private_key=key,
        client_authorities=OURS.write(folder / "ca.pem") if mutual else None,
        keys=keys,
    )


def test_tls_needs_no_clients_certificate(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(identity(tmp_path), []) as address:
            assert await call(address) == ""
            assert await code_of(address, trust=OTHER) is grpc.StatusCode.UNAVAILABLE
            assert await code_of(address, trust=None) is grpc.StatusCode.UNAVAILABLE

    asyncio.run(run())


def test_no_tls_before_1_2_is_spoken(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=OURS.pem.decode())
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this side would not offer the old ones
    context.set_alpn_protocols(["h2"])

    async def shake_hands(address: str, version: str) -> None:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion[version]
            context.minimum_version = ssl.TLSVersion[version]
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.close()

    async def run() -> None:
        async with serving(identity(tmp_path), []) as address:
            await shake_hands(address, "TLSv1_3")
            await shake_hands(address, "TLSv1_2")
            with pytest.raises((ConnectionResetError, ssl.SSLError)):
                await shake_hands(address, "TLSv1_1")

    asyncio.run(run())


def test_with_mutual_tls_the_certificate_names_the_caller(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(identity(tmp_path, mutual=True), []) as address:
            camera = OURS.issue(tmp_path, "camera", "camera.example", common_name="camera 3")
            assert await call(address, pair=camera) == "camera 3"
            nameless = OURS.issue(tmp_path, "nameless", "door.example")
            assert await call(address, pair=nameless) == "door.example"

    asyncio.run(run())


def test_with_mutual_tls_no_other_certificate_gets_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(identity(tmp_path, mutual=True), []) as address:
            assert await code_of(address) is grpc.StatusCode.UNAVAILABLE
            foreign = OTHER.issue(tmp_path, "foreign", common_name="camera 3")
            assert await code_of(address, pair=foreign) is grpc.StatusCode.UNAVAILABLE
            old = OURS.issue(tmp_path, "old", common_name="camera 3", days=-1)
            assert await code_of(address, pair=old) is grpc.StatusCode.UNAVAILABLE

    asyncio.run(run())


def test_a_replaced_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        log: list[str] = []
        async with serving(identity(tmp_path), log) as address:
            assert await call(address) == ""
            certificate, _ = OTHER.issue(tmp_path, "server")
            assert await call(address, trust=OTHER) == ""
            assert await code_of(address, trust=OURS) is grpc.StatusCode.UNAVAILABLE
            assert log == [f"read the certificate {certificate} again"]

    asyncio.run(run())


def test_a_broken_new_certificate_keeps_the_old_one(tmp_path: Path) -> None:
    async def run() -> None:
        log: list[str] = []
        async with serving(identity(tmp_path), log) as address:
            good, _ = OTHER.issue(tmp_path, "other")
            server = tmp_path / "server.pem"
            server.write_bytes(good.read_bytes())  # its key comes a moment later
            assert await call(address) == ""
            assert await call(address) == ""
            (sentence,) = log
            assert "is not that of the certificate" in sentence
            assert "stays in force" in sentence
            (tmp_path / "server.key").write_bytes((tmp_path / "other.key").read_bytes())
            assert await call(address, trust=OTHER) == ""

    asyncio.run(run())


def test_replaced_authorities_let_their_clients_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(identity(tmp_path, mutual=True), []) as address:
            camera = OTHER.issue(tmp_path, "camera", common_name="camera 3")
            assert await code_of(address, pair=camera) is grpc.StatusCode.UNAVAILABLE
            OTHER.write(tmp_path / "ca.pem")
            assert await call(address, pair=camera) == "camera 3"

    asyncio.run(run())


def test_keys_go_through_tls_and_mutual_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys.toml"
    assert keys_command(["add", "operator", "--file", str(keys)]) == 0
    key = capsys.readouterr().out.strip()
    header = [("authorization", f"Bearer {key}")]

    async def run() -> None:
        async with serving(identity(tmp_path, keys=keys), []) as address:
            assert await call(address, metadata=header) == "operator"
            assert await code_of(address) is grpc.StatusCode.UNAUTHENTICATED
        async with serving(identity(tmp_path, mutual=True, keys=keys), []) as address:
            camera = OURS.issue(tmp_path, "camera", common_name="camera 3")
            assert await call(address, pair=camera, metadata=header) == "operator"
            assert await code_of(address, pair=camera) is grpc.StatusCode.UNAUTHENTICATED
            assert await code_of(address, metadata=header) is grpc.StatusCode.UNAVAILABLE
        async with serving(Identity(keys=keys), []) as address:
            assert await call(address, trust=None, metadata=header) == "operator"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nothing tells who calls"),
        (("--keys", "open.toml"), "mode 0644"),
        (("--keys", "missing.toml"), "does not exist"),
        (("--insecure", "--certificate", "missing.pem"), "give the other one too"),
    ],
)
def test_a_gateway_that_can_not_be_protected_as_wanted_does_not_start(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    opened = tmp_path / "open.toml"
    opened.write_text("")
    opened.chmod(0o644)
    repository = tiny_repository.write(tmp_path / "repository", echo=tiny_repository.ECHO)
    arguments = [str(tmp_path / word) if "." in word else word for word in words]
    with (
        pytest.raises(CannotStart, match=sentence),
        GatewayServer(repository, host="0.0.0.0", arguments=arguments),
    ):
        pass
