"""What answers at a port, by a few bytes of its own words: below gRPC, which reports little of it."""

import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal

# What an HTTP/2 client begins with (RFC 9113, 3.4), and empty SETTINGS.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_FRAME_HEAD = 9
_SETTINGS = 4
_ALERT = b"\x15\x03"  # of TLS

Greeting = Literal["http2", "http1", "tls", "closed", "silent", "other"]
Place = tuple[str, int] | str  # an IP address and a port, or a Unix socket's path


class CannotConnect(Exception):
    """No connection; `str()` is the reason, `silent` whether there was no answer at all."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encrypted:
    """A server's side of a TLS handshake."""

    version: str
    protocol: str | None  # chosen by ALPN
    certificate: bytes  # DER
    names: tuple[str, ...]  # of the certificate, where it was verified
    greeting: Greeting = "closed"
    # What the server objected to once the handshake was done (TLS 1.3 refuses callers then); "": nothing.
    refusal: str = ""


def addresses_of(host: str, *, seconds: float) -> tuple[list[str], float]:
    """The IP addresses of a name, in the resolver's order, and the seconds that it took.

    Raises CannotConnect.
    """
    found: list[str] = []
    failed: list[str] = []

    def look_up() -> None:
        try:
            for *_, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
                found.append(str(place[0]))
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or str(error))

    # The resolver has no deadline of its own.
    thread = threading.Thread(target=look_up, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise CannotConnect(f"no name server answered within {seconds:g} s", silent=True)
    if failed:
        raise CannotConnect(failed[0])
    return list(dict.fromkeys(found)), time.monotonic() - began


def connect(place: Place, *, seconds: float) -> socket.socket:
    """A connection to it; CannotConnect."""
    try:
        if not isinstance(place, str):
            return socket.create_connection(place, timeout=seconds)
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(seconds)
        try:
            opened.connect(place)
        except OSError:
            opened.close()
            raise
        return opened
    except (TimeoutError, BlockingIOError):
        raise CannotConnect(f"no answer within {seconds:g} s", silent=True) from None
    except OSError as error:
        raise CannotConnect((error.strerror or str(error)).lower()) from error


def greet(place: Place, *, seconds: float) -> Greeting:
    """What answers to HTTP/2's first bytes, unencrypted; CannotConnect."""
    with connect(place, seconds=seconds) as opened:
        greeting = _answer(opened, _PREFACE)
    if greeting in ("closed", "other"):  # as some servers of HTTP/1 do with what they don't know
        with connect(place, seconds=seconds) as opened:
            return "http1" if _answer(opened, _GET) == "http1" else greeting
    return greeting


def handshake(place: Place, context: ssl.SSLContext, *, name: str, seconds: float) -> Encrypted:
    """The server's side of a handshake and of HTTP/2's first bytes in it.

    Raises ssl.SSLError where none comes about, and CannotConnect.
    """
    context.set_alpn_protocols(["h2"])
    with connect(place, seconds=seconds) as opened:
        try:
            encrypted = context.wrap_socket(opened, server_hostname=name)
        except ssl.SSLError:
            raise
        except TimeoutError:
            raise CannotConnect(f"no TLS within {seconds:g} s", silent=True) from None
        except OSError as error:
            raise CannotConnect((error.strerror or str(error)).lower()) from error
        with encrypted:
            shaken = Encrypted(
                version=encrypted.version() or "",
                protocol=encrypted.selected_alpn_protocol(),
                certificate=encrypted.getpeercert(binary_form=True) or b"",
                names=_names(encrypted.getpeercert() or {}),
            )
            try:
                return dataclasses.replace(shaken, greeting=_answer(encrypted, _PREFACE))
            except ssl.SSLError as error:
                return dataclasses.replace(shaken, refusal=error.reason or str(error))


def _names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(name) for _, name in certificate.get("subjectAltName", ()))


def _answer(opened: socket.socket, first: bytes) -> Greeting:
    answer = b""
    try:
        opened.sendall(first)
        while len(answer) < _FRAME_HEAD and (part := opened.recv(4096)):
            answer += part
    except ssl.SSLError:
        raise
    except TimeoutError:
        if not answer:
            return "silent"
    except OSError:
        pass  # reset: what came before is its answer
    if not answer:
        return "closed"
    if answer.startswith(b"HTTP/1"):
        return "http1"
    if answer.startswith(_ALERT):
        return "tls"
    return "http2" if len(answer) >= _FRAME_HEAD and answer[3] == _SETTINGS else "other"
