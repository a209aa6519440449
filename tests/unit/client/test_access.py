"""Who calls, and over which encryption: by argument, environment and file; the key is never shown."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import AsyncFaceClient, FaceClient, InvalidInput, NotAuthenticated, NotPermitted, Tls
from qface_client._connection import authorization, tls_files
from tests.helpers.fake_v2_server import FakeServer, refuse

PHOTO = np.zeros((80, 100, 3), np.uint8)
KEY = "qf-3e9aK_2.b~"
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "API_KEY_FILE", "TLS", "TLS_CA", "TLS_CERT", "TLS_KEY"):
        monkeypatch.delenv(f"QFACE_{name}", raising=False)


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_text(PEM)
    return str(path)


def sent(api_key: str | None, *, url: str = "localhost:1", **arguments: Any) -> str | None:
    metadata = authorization(api_key, url=url, **{"encrypted": False, "insecure_key": False, **arguments})
    return dict(metadata).get("authorization")


def test_the_key_goes_with_every_call_of_both_clients(fake: FakeServer, url: str) -> None:
    with FaceClient(url, api_key=KEY) as client:
        client.analyze(PHOTO)
        client.detect(PHOTO)
        client.models()

    async def talk() -> None:
        async with AsyncFaceClient(url, api_key=KEY) as twin:
            await twin.analyze(PHOTO)
            await twin.contract()

    asyncio.run(talk())
    assert len(fake.metadata) >= 7
    assert {call.get("authorization") for call in fake.metadata} == {f"Bearer {KEY}"}


def test_without_a_key_none_is_sent(fake: FakeServer, url: str) -> None:
    with FaceClient(url) as client:
        client.analyze(PHOTO)
    assert all("authorization" not in call for call in fake.metadata)


def test_the_argument_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    monkeypatch.setenv("QFACE_API_KEY_FILE", str(file))
    assert sent(None) == "Bearer of-the-file"
    monkeypatch.setenv("QFACE_API_KEY", "of-the-environment")
    assert sent(None) == "Bearer of-the-environment"
    assert sent("of-the-argument") == "Bearer of-the-argument"


@pytest.mark.parametrize("key", ["", " ", "two words", "l\u00edne", "a\nb"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InvalidInput, match="API key") as caught:
        sent(key)
    assert not key.strip() or key not in str(caught.value)


def test_a_key_file_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, noise = tmp_path / "empty", tmp_path / "noise"
    empty.touch()
    noise.write_bytes(b"\xff\xfe")
    for path, words in ((tmp_path / "missing", "No such file"), (empty, "no API key"), (noise, "no text")):
        monkeypatch.setenv("QFACE_API_KEY_FILE", str(path))
        with pytest.raises(InvalidInput, match=words) as caught:
            FaceClient()
        assert caught.value.file == str(path)


@pytest.mark.parametrize("url", ["localhost:1", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "unix:/run/qface"])
def test_a_key_may_go_unencrypted_on_this_machine(url: str) -> None:
    assert sent(KEY, url=url) == f"Bearer {KEY}"


@pytest.mark.parametrize("url", ["faces.example:8001", "10.0.0.7:8001", "localhost.example:1", "[fe80::1]:1"])
def test_a_key_never_crosses_a_network_unencrypted_unless_that_is_allowed(url: str) -> None:
    with pytest.raises(InvalidInput, match="insecure_key=True") as caught:
        FaceClient(url, api_key=KEY)
    assert KEY not in str(caught.value)
    assert sent(KEY, url=url, insecure_key=True) == sent(KEY, url=url, encrypted=True) == f"Bearer {KEY}"
    FaceClient(url).close()  # without a key there is nothing to hide


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, NotAuthenticated, "unknown key.*api_key=.*QFACE_API_KEY"),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermitted, "unknown key.*who runs the server"),
    ],
)
def test_a_server_that_does_not_let_in_is_asked_once(
    fake: FakeServer, url: str, code: grpc.StatusCode, kind: type[Exception], words: str
) -> None:
    fake.before_read = refuse(99, code, "unknown key")
    with FaceClient(url, api_key=KEY) as client, pytest.raises(kind, match=words) as caught:
        client.analyze(PHOTO)
    assert fake.reads == 1
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {client!r}"


@pytest.mark.parametrize("switch", ["1", "true", "ON"])
def test_the_environment_turns_encryption_on(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFACE_TLS", switch)
    assert tls_files(None) == Tls()
    assert tls_files(False) is None


def test_a_certificate_in_the_environment_is_used_unless_encryption_is_off(
    pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tls_files(None) is None
    monkeypatch.setenv("QFACE_TLS_CA", pem)
    assert tls_files(None) == tls_files(True) == Tls(root_certificates=pem)
    assert tls_files(Tls()) == Tls()  # an argument is whole: it takes nothing from the environment
    monkeypatch.setenv("QFACE_TLS", "0")
    assert tls_files(None) is None


def test_the_environment_names_all_of_mutual_tls(pem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CA", "CERT", "KEY"):
        monkeypatch.setenv(f"QFACE_TLS_{name}", pem)
    assert tls_files(None) == Tls(root_certificates=pem, private_key=pem, certificate_chain=pem)
    monkeypatch.delenv("QFACE_TLS_KEY")
    with pytest.raises(InvalidInput, match="belong together"):
        tls_files(None)


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFACE_TLS", "maybe")
    with pytest.raises(InvalidInput, match="QFACE_TLS is 1 or 0, not 'maybe'"):
        FaceClient()


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    letter = tmp_path / "letter.pem"
    letter.write_text("Dear Sir or Madam")
    for path, words in ((letter, "no PEM file"), (tmp_path / "missing.pem", "No such file")):
        with pytest.raises(InvalidInput, match=words) as caught:
            FaceClient(tls=Tls(root_certificates=path))
        assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": 5}, "the API key is a text, not int"),
        ({"api_key": b"secret"}, "the API key is a text, not bytes"),
        ({"tls": "ca.pem"}, r"tls is True, False or Tls\(root_certificates=...\), not 'ca.pem'"),
    ],
)
def test_what_is_of_another_type_is_refused_when_the_client_is_made(
    arguments: dict[str, Any], words: str
) -> None:
    for kind in (FaceClient, AsyncFaceClient):
        with pytest.raises(InvalidInput, match=words) as caught:
            kind("localhost:8001", **arguments)
        assert "secret" not in str(caught.value)
