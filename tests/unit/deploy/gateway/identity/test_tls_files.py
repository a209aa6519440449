"""Certificates' files: each way in which they can be wrong has its sentence, before anything listens."""

import asyncio
import time
from pathlib import Path

import pytest

from deploy.gateway.front.front import Front
from deploy.gateway.identity import Identities, server_credentials
from deploy.gateway.identity.protected_files import UnusableFile
from deploy.gateway.identity.tls import CertificateExpiry
from deploy.gateway.options import GatewayOptions, Identity
from tests.helpers.certificates import Authority
from tests.helpers.fake_authority import FakeAuthority

AUTHORITY = Authority()


def credentials(
    certificate: Path,
    private_key: Path | None,
    *,
    authorities: Path | None = None,
    log: list[str] | None = None,
) -> object:
    return server_credentials(
        Identity(certificate=certificate, private_key=private_key, client_authorities=authorities),
        log=(log if log is not None else []).append,
    )


def test_without_a_certificate_there_are_none() -> None:
    assert server_credentials(Identity()) is None


def test_a_valid_pair_is_taken_in_silence(tmp_path: Path) -> None:
    log: list[str] = []
    assert credentials(*AUTHORITY.issue(tmp_path, "server"), log=log)
    assert not log


def test_a_certificate_that_expires_soon_is_logged(tmp_path: Path) -> None:
    log: list[str] = []
    assert credentials(*AUTHORITY.issue(tmp_path, "server", days=5), log=log)
    (sentence,) = log
    assert "expires on" in sentence


def test_a_front_logs_what_its_certificates_call_for(tmp_path: Path) -> None:
    certificate, private_key = AUTHORITY.issue(tmp_path, "server", "127.0.0.1", days=5)
    identity = Identity(certificate=certificate, private_key=private_key)
    log: list[str] = []

    async def listen() -> None:
        front = Front(
            FakeAuthority(None, ""),
            options=GatewayOptions(repository=tmp_path, identity=identity),
            identities=Identities(identity),
            log=log.append,
        )
        await front.start(0)
        await front.stop(0)

    asyncio.run(listen())
    assert "expires on" in log[0]


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"server\.pem: certificate has expired"):
        credentials(*AUTHORITY.issue(tmp_path, "server", days=-1))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = AUTHORITY.issue(tmp_path, "server")
    _, key = AUTHORITY.issue(tmp_path, "other")
    with pytest.raises(UnusableFile, match=r"other\.key is not that of the certificate .*server\.pem"):
        credentials(certificate, key)


def test_missing_files_are_named(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")
    with pytest.raises(UnusableFile, match=r"the certificate .*no\.pem does not exist"):
        credentials(tmp_path / "no.pem", key)
    with pytest.raises(UnusableFile, match=r"the private key .*no\.key does not exist"):
        credentials(certificate, tmp_path / "no.key")
    with pytest.raises(UnusableFile, match=r"client authorities .*no\.pem does not exist"):
        credentials(certificate, key, authorities=tmp_path / "no.pem")
    with pytest.raises(UnusableFile, match="both --certificate and --private-key"):
        credentials(certificate, None)
    with pytest.raises(UnusableFile, match="inside TLS"):
        server_credentials(Identity(client_authorities=certificate))


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")
    key.chmod(0o644)
    with pytest.raises(UnusableFile, match=r"mode 0644.*chmod 600"):
        credentials(certificate, key)


def test_what_is_no_pem_is_refused(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")
    other = tmp_path / "text.pem"
    other.touch(mode=0o600)
    other.write_text("not a certificate")
    with pytest.raises(UnusableFile, match="must be PEM"):
        credentials(other, key)
    with pytest.raises(UnusableFile, match="must be PEM"):
        credentials(certificate, other)
    with pytest.raises(UnusableFile, match="can't be used"):
        credentials(certificate, key, authorities=other)
    other.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(UnusableFile, match="encrypted"):
        credentials(certificate, other)


def test_authorities_must_be_authorities(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")
    assert credentials(certificate, key, authorities=AUTHORITY.write(tmp_path / "ca.pem"))
    with pytest.raises(UnusableFile, match="holds no certificate of an authority"):
        credentials(certificate, key, authorities=certificate)


def test_the_expiry_is_that_of_the_file_that_lies_there_now(tmp_path: Path) -> None:
    certificate, private_key = AUTHORITY.issue(tmp_path, "server", days=30)
    expiry = CertificateExpiry(Identity(certificate=certificate, private_key=private_key))
    assert days_until(expiry()) == pytest.approx(30, abs=0.1)
    AUTHORITY.issue(tmp_path, "server", days=60)
    assert days_until(expiry()) == pytest.approx(60, abs=0.1)
    certificate.write_text("damaged")
    assert days_until(expiry()) == pytest.approx(60, abs=0.1)


def test_there_is_no_expiry_without_tls() -> None:
    assert CertificateExpiry(Identity())() is None


def days_until(moment: float | None) -> float:
    assert moment is not None
    return (moment - time.time()) / 86400
