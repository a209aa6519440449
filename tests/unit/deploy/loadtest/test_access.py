"""Addresses, keys and certificates of a load test: what goes together, and the sentence of what does not."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploy.loadtest.command.access import KEY, KEY_FILE, Access

SECRET = "s3cret-k3y"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (KEY, KEY_FILE):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("url", "protocol", "expected"),
    [
        ("127.0.0.1:8001", None, ("grpc", "127.0.0.1:8001", False)),
        ("faces:8000", "rest", ("rest", "faces:8000", False)),
        ("grpc://faces:8001", None, ("grpc", "faces:8001", False)),
        ("grpcs://faces:8001/", None, ("grpc", "faces:8001", True)),
        ("https://faces:443", "rest", ("rest", "faces:443", True)),
        ("http://faces:8000", "http", ("http", "faces:8000", False)),
        ("[::1]:8001", None, ("grpc", "[::1]:8001", False)),
    ],
)
def test_an_address_has_its_protocol_and_encryption(
    url: str, protocol: str | None, expected: tuple[str, str, bool]
) -> None:
    target = Access(url=url, protocol=protocol).target()
    assert (target.protocol, target.address, target.secure) == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"url": "faces"}, "'faces' is no address: give HOST:PORT"),
        ({"url": "faces:port"}, "is no address"),
        ({"url": "faces:8001/v2"}, "is no address"),
        ({"url": "user:secret@faces:8001"}, "is no address"),
        ({"url": "ftp://faces:8001"}, "has the scheme 'ftp'"),
        ({"url": "http://faces:8000"}, "give --protocol rest or http"),
        ({"url": "grpc://faces:8001", "protocol": "rest"}, "is no address of 'rest'"),
        ({"url": "faces:8001", "certificate": Path("a.pem")}, "belong together"),
        ({"url": "grpc://faces:8001", "authorities": Path("a.pem")}, "is for an encrypted connection"),
        ({"url": "grpcs://faces:8001", "authorities": Path("absent.pem")}, "absent.pem can't be read"),
        ({"url": "grpcs://faces:8001", "authorities": Path(__file__)}, "is no PEM file"),
        ({"url": "127.0.0.1:8001", "key_file": Path("absent.key")}, "absent.key: No such file"),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_sentence(words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Access(**words).target()


@pytest.mark.parametrize("source", ["file", "file of the environment", "environment"])
def test_the_key_is_sent_as_the_client_sends_it(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    if source == "environment":
        monkeypatch.setenv(KEY, SECRET)
    elif source == "file of the environment":
        monkeypatch.setenv(KEY_FILE, str(file))
    access = Access(url="127.0.0.1:8001", key_file=file if source == "file" else None)
    assert access.target().metadata == (("authorization", f"Bearer {SECRET}"),)


def test_a_key_does_not_cross_a_network_unencrypted_and_is_in_no_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    with pytest.raises(ValueError, match="unencrypted") as error:
        Access(url="faces.example:8001").target()
    assert SECRET not in str(error.value)
    assert Access(url="faces.example:8001", insecure_key=True).target().metadata
    assert Access(url="grpcs://faces.example:8001").target().metadata


@pytest.mark.parametrize("text", ["", "two words", "k\u00e9y"])
def test_a_file_without_a_key_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ValueError, match="key"):
        Access(url="127.0.0.1:8001", key_file=file).target()
