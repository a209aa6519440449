"""Certificates that do not hold, and servers that ask for the caller's, by real TLS."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.helpers.certificates import Authority
from tests.helpers.client_doctor import doctor
from tests.helpers.described_server import DescribedServer, health
from tests.helpers.fake_v2_server import running

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> str:
    return str(authority.write(tmp_path / "ca.pem"))


@contextlib.contextmanager
def encrypted(chain: Path, key: Path, *, callers: bytes | None = None) -> Iterator[str]:
    """A server with this certificate; `callers`: who signs those of its callers, which it then wants."""
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), chain.read_bytes())],
        root_certificates=callers,
        require_client_auth=callers is not None,
    )
    with running(DescribedServer(), credentials=credentials, health=health()) as url:
        yield url


def test_a_certificate_that_holds(capsys: Capsys, authority: Authority, ca: str, tmp_path: Path) -> None:
    with encrypted(*authority.issue(tmp_path, "server")) as url:
        report = doctor(capsys, url, "--tls-ca", ca)
    assert report.status == 0
    assert "TLS, roots of" in report.of("encryption")["sentence"]
    assert report.of("protocol")["sentence"] == "HTTP/2 in TLSv1.3"
    found = report.of("certificate")
    assert found["mark"] == "ok"
    assert "localhost" in found["sentence"]
    assert "days)" in found["sentence"]


def test_encryption_that_only_the_server_has(capsys: Capsys, authority: Authority, tmp_path: Path) -> None:
    with encrypted(*authority.issue(tmp_path, "server")) as url:
        report = doctor(capsys, url)
    assert report.wrong == ["protocol"]
    assert report.of("protocol")["sentence"] == "the server wants an encrypted connection"
    assert "--tls" in report.of("protocol")["advice"]


@pytest.mark.parametrize(
    ("names", "days", "mark", "sentence", "advice"),
    [
        (("faces.example",), 90.0, "wrong", "for faces.example, not for 127.0.0.1", "--url"),
        ((), -1.0, "wrong", "it ended on ", "renew"),
        ((), 400.0, "wrong", "it does not hold before ", "clock"),
        ((), 3.0, "note", "ends in 3.0 days", "renew"),
    ],
)
def test_names_and_dates(
    capsys: Capsys,
    authority: Authority,
    ca: str,
    tmp_path: Path,
    names: tuple[str, ...],
    days: float,
    mark: str,
    sentence: str,
    advice: str,
) -> None:
    with encrypted(*authority.issue(tmp_path, "server", *names, days=days)) as url:
        report = doctor(capsys, url, "--tls-ca", ca)
    found = report.of("certificate")
    assert found["mark"] == mark
    assert sentence in found["sentence"]
    assert advice in found["advice"]
    assert (report.status == 0) == (mark == "note")


def test_an_authority_that_is_not_known_here(capsys: Capsys, authority: Authority, tmp_path: Path) -> None:
    with encrypted(*authority.issue(tmp_path, "server")) as url:
        report = doctor(capsys, url, "--tls")
    assert report.wrong == ["certificate"]
    assert "who signed it is not known here" in report.of("certificate")["sentence"]
    assert "--tls-ca" in report.of("certificate")["advice"]


def test_the_callers_certificate(capsys: Capsys, authority: Authority, ca: str, tmp_path: Path) -> None:
    own = authority.issue(tmp_path, "own", "caller.example")
    strange = Authority().issue(tmp_path, "strange", "caller.example")

    def with_certificate(files: tuple[Path, Path]) -> tuple[str, ...]:
        return ("--tls-ca", ca, "--tls-cert", str(files[0]), "--tls-key", str(files[1]))

    with encrypted(*authority.issue(tmp_path, "server"), callers=authority.pem) as url:
        missing = doctor(capsys, url, "--tls-ca", ca)
        refused = doctor(capsys, url, *with_certificate(strange))
        accepted = doctor(capsys, url, *with_certificate(own))
    assert missing.wrong == ["protocol"]
    assert "wants the caller's certificate" in missing.of("protocol")["sentence"]
    assert refused.wrong == ["protocol"]
    assert "the certificate of" in refused.of("protocol")["sentence"]
    assert accepted.status == 0


def test_files_that_do_not_belong_together(capsys: Capsys, authority: Authority, tmp_path: Path) -> None:
    chain, _ = authority.issue(tmp_path, "one")
    _, other = authority.issue(tmp_path, "other")
    report = doctor(capsys, "localhost:1", "--tls-cert", str(chain), "--tls-key", str(other))
    assert report.wrong == ["encryption"]
    assert "belong" in report.of("encryption")["advice"]
    missing = doctor(capsys, "localhost:1", "--tls-ca", str(tmp_path / "none.pem"))
    assert missing.wrong == ["encryption"]
    assert "none.pem" in missing.of("encryption")["sentence"]
