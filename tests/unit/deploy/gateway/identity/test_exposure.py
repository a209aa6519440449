"""Nobody listens beyond this machine by accident."""

import socket
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.errors import CannotStart
from deploy.gateway.identity import check_exposure
from deploy.gateway.identity.exposure import is_loopback
from deploy.gateway.options import Identity

HERE = ("127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost", "::ffff:127.0.0.1")
EVERYWHERE = ("0.0.0.0", "::", "[::]", "", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1")
KEYS = Identity(keys=Path("keys.toml"))
CERTIFICATE = Path("server.pem")


@pytest.mark.parametrize("host", HERE)
def test_this_machine_alone_needs_no_identity(host: str) -> None:
    assert check_exposure(host, Identity()) is None


@pytest.mark.parametrize("host", EVERYWHERE)
def test_beyond_it_keys_or_mutual_tls_are_needed(host: str) -> None:
    with pytest.raises(CannotStart, match=r"--keys FILE or mutual TLS .*--insecure"):
        check_exposure(host, Identity())
    with pytest.raises(CannotStart):  # TLS alone says nothing of who calls
        check_exposure(host, Identity(certificate=CERTIFICATE, private_key=CERTIFICATE))
    check_exposure(host, Identity(client_authorities=CERTIFICATE, certificate=CERTIFICATE))
    check_exposure(host, KEYS)


def test_insecure_is_a_word_that_is_warned_of() -> None:
    warning = check_exposure("0.0.0.0", Identity(insecure=True))
    assert warning is not None
    assert "everybody" in warning


def test_keys_without_tls_are_warned_of() -> None:
    warning = check_exposure("0.0.0.0", KEYS)
    assert warning is not None
    assert "clear text" in warning
    assert check_exposure("0.0.0.0", Identity(keys=Path("k"), certificate=CERTIFICATE)) is None
    assert check_exposure("127.0.0.1", KEYS) is None


def test_a_name_is_as_far_as_its_farthest_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*addresses: str) -> None:
        def answer(*_: object, **__: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    resolve("127.0.0.1", "::1")
    assert is_loopback("here.example")
    resolve("127.0.0.1", "192.0.2.7")
    assert not is_loopback("both.example")
    resolve("fe80::1%eth0")
    assert not is_loopback("link.example")
    resolve()
    assert not is_loopback("nowhere.example")


def test_a_name_that_does_not_resolve_is_not_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert not is_loopback("nowhere.example")
