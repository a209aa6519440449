"""Encrypted connections, with certificates made for the test."""

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest

from qface_client import AsyncFaceClient, ConnectError, FaceClient, Tls, cli
from tests.helpers.certificates import Authority
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running

PHOTO = np.zeros((80, 100, 3), np.uint8)


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def of_server(authority: Authority, folder: Path, *, mutual: bool = False) -> grpc.ServerCredentials:
    """A server's credentials; `mutual` asks callers for a certificate of the same authority."""
    chain, key = authority.issue(folder, "server")
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), chain.read_bytes())],
        root_certificates=authority.pem if mutual else None,
        require_client_auth=mutual,
    )


def test_both_clients_speak_to_a_server_whose_certificate_they_know(
    fake: FakeServer, authority: Authority, tmp_path: Path
) -> None:
    tls = Tls(root_certificates=authority.write(tmp_path / "ca.pem"))
    with running(fake, credentials=of_server(authority, tmp_path)) as url:
        with FaceClient(url, tls=tls, api_key="key") as client:
            assert client.analyze(PHOTO)[0].mood.label == "glad"

        async def talk() -> None:
            async with AsyncFaceClient(url, tls=tls, api_key="key") as twin:
                assert (await twin.analyze(PHOTO))[0].mood.label == "glad"

        asyncio.run(talk())
    assert {call["authorization"] for call in fake.metadata} == {"Bearer key"}


def test_a_server_whose_certificate_is_unknown_gets_no_key(
    fake: FakeServer, authority: Authority, tmp_path: Path
) -> None:
    other = Authority().write(tmp_path / "other.pem")
    with (
        running(fake, credentials=of_server(authority, tmp_path)) as url,
        FaceClient(url, tls=Tls(root_certificates=other), api_key="key") as client,
        pytest.raises(ConnectError, match=r"CERTIFICATE_VERIFY_FAILED.*QFACE_TLS_CA"),
    ):
        client.analyze(PHOTO)
    assert fake.metadata == []


def test_encryption_on_one_side_only_says_so(fake: FakeServer, authority: Authority, tmp_path: Path) -> None:
    tls = Tls(root_certificates=authority.write(tmp_path / "ca.pem"))
    with (
        running(fake) as url,
        FaceClient(url, tls=tls) as client,
        pytest.raises(ConnectError, match="speak TLS"),
    ):
        client.analyze(PHOTO)
    with (
        running(fake, credentials=of_server(authority, tmp_path)) as url,
        FaceClient(url) as client,
        pytest.raises(ConnectError, match=r"encrypted connection .*--tls"),
    ):
        client.analyze(PHOTO)


def test_the_command_line_proves_who_it_is_by_a_certificate(
    fake: FakeServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = str(authority.write(tmp_path / "ca.pem"))
    chain, key = map(str, authority.issue(tmp_path, "caller"))
    with running(fake, credentials=of_server(authority, tmp_path, mutual=True)) as url:
        info = ["info", "--url", url, "--tls-ca", ca]
        assert cli.main(info) == 1
        assert cli.main([*info, "--tls-cert", chain, "--tls-key", key]) == 0
        monkeypatch.setenv("QFACE_TLS_CERT", chain)
        monkeypatch.setenv("QFACE_TLS_KEY", key)
        assert cli.main(info) == 0
