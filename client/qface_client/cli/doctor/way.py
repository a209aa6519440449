"""The way to one server, below gRPC: its name, its port, what speaks there, its certificate."""

import contextlib
import os
import ssl
import time
from collections.abc import Iterator

from ..._connection.access import Tls
from . import certificates
from .findings import Check, Finding
from .servers import Server, shown
from .sockets import CannotConnect, Encrypted, Place, connect, greet, handshake

PORT, PROTOCOL, CERTIFICATE = "port", "protocol", "certificate"
SECONDS = 3.0  # of one connection or handshake
SOON_DAYS = 14.0


def port(server: Server) -> Iterator[Finding]:
    """Whether a connection comes about, and how long that takes: one round trip."""
    if server.caller.proxied:
        yield Finding(check=PORT, mark="skipped", sentence=_PROXIED)
        return
    accepted, failed, silent = list[str](), list[str](), False
    for place in server.places:
        try:
            began = time.perf_counter()
            with connect(place, seconds=SECONDS):
                spent = 1e3 * (time.perf_counter() - began)
        except CannotConnect as error:
            failed.append(f"{shown(place)}: {error}")
            silent = silent or error.silent
            continue
        accepted.append(f"{shown(place)} accepts in {spent:.1f} ms")
        server.place = server.place or place
    if server.place is None:
        advice = (
            "something on the way drops what is sent there (a firewall), or the machine is off: ask who runs "
            "the network"
            if silent
            else "start a server there (`make serve`), or give its address by --url; its gRPC has port 8001 "
            "unless it was set otherwise"
        )
        yield Finding(check=PORT, mark="wrong", sentence="; ".join(failed), advice=advice)
        return
    if failed:
        yield Finding(
            check=PORT,
            mark="note",
            sentence="; ".join([*accepted, *failed]),
            advice="gRPC tries them in turn, which takes time: give the address that accepts",
        )
        return
    yield Finding(check=PORT, mark="ok", sentence="; ".join(accepted))


def protocol(server: Server) -> Iterator[Finding]:
    """Whether HTTP/2 is spoken there, encrypted or not as it is wanted."""
    place = server.place
    if place is None:
        yield Finding(check=PROTOCOL, mark="skipped", sentence=_PROXIED)
        return
    if server.tls is None:
        yield _plain(server, place)
        return
    try:
        found = _seen(server, place)
    except (ssl.SSLError, CannotConnect) as error:
        yield _no_tls(place, error, server.tls)
        return
    yield _encrypted(found, server.tls)


def certificate(server: Server) -> Iterator[Finding]:
    """Whether the server's certificate is valid here, for its name, and for how long."""
    tls, place, name = server.tls, server.place, server.certificate_name
    if tls is None or place is None:
        return
    try:
        seen = _seen(server, place).certificate
        about = certificates.read(seen, place, tls=tls, name=name, seconds=SECONDS)
        handshake(place, certificates.verifying(tls), name=name, seconds=SECONDS)
    except ssl.SSLCertVerificationError as error:
        sentence, advice = certificates.explain(error, about, name=name)
        yield Finding(check=CERTIFICATE, mark="wrong", sentence=sentence, advice=advice)
        return
    except (ssl.SSLError, CannotConnect) as error:
        reason = getattr(error, "reason", None) or str(error)
        yield Finding(check=CERTIFICATE, mark="wrong", sentence=f"can't be read ({reason})", advice=_LATER)
        return
    names = f"for {', '.join(about.names)}" if about.names else "without names"
    if about.days_left is not None and about.days_left < SOON_DAYS:
        yield Finding(
            check=CERTIFICATE,
            mark="note",
            sentence=f"{names}, ends in {about.days_left:.1f} days",
            advice="who runs the server has to renew it until then",
        )
        return
    until = "" if about.ends is None else f", valid until {about.ends:%Y-%m-%d} ({about.days_left:.0f} days)"
    yield Finding(check=CERTIFICATE, mark="ok", sentence=f"{names}{until}")


def _seen(server: Server, place: Place) -> Encrypted:
    """The server's side of a handshake, whatever its certificate is."""
    context = certificates.unverifying(server.tls)
    return handshake(place, context, name=server.certificate_name, seconds=SECONDS)


def _speaks_tls(server: Server, place: Place) -> bool:
    with contextlib.suppress(ssl.SSLError, CannotConnect):
        _seen(server, place)
        return True
    return False


def _plain(server: Server, place: Place) -> Finding:
    try:
        greeting = greet(place, seconds=SECONDS)
    except CannotConnect as error:
        return Finding(check=PROTOCOL, mark="wrong", sentence=str(error), advice=_LATER)
    if greeting == "http2":
        return Finding(check=PROTOCOL, mark="ok", sentence="HTTP/2, not encrypted")
    if greeting == "http1":
        return Finding(check=PROTOCOL, mark="wrong", sentence=_HTTP1, advice=_OTHER_PORT)
    if greeting == "tls" or _speaks_tls(server, place):
        return Finding(
            check=PROTOCOL,
            mark="wrong",
            sentence="the server wants an encrypted connection",
            advice="--tls or QFACE_TLS=1, with --tls-ca FILE where its certificate is of your own authority",
        )
    return Finding(check=PROTOCOL, mark="wrong", sentence=_UNKNOWN[greeting], advice=_LATER)


def _no_tls(place: Place, error: Exception, tls: Tls) -> Finding:
    """Why no handshake comes about."""
    reason = getattr(error, "reason", None) or str(error)
    try:
        greeting = greet(place, seconds=SECONDS)
    except CannotConnect:
        greeting = "closed"
    if greeting == "http2":
        return Finding(
            check=PROTOCOL,
            mark="wrong",
            sentence="the server speaks HTTP/2 without encryption",
            advice="leave out --tls and QFACE_TLS, or start its gateway with --certificate",
        )
    if greeting == "http1":
        return Finding(check=PROTOCOL, mark="wrong", sentence=_HTTP1, advice=_OTHER_PORT)
    if _is_about_caller(reason):
        return _refused_caller(reason, tls=tls)
    return Finding(
        check=PROTOCOL, mark="wrong", sentence=f"no TLS comes about ({reason.lower()})", advice=_LATER
    )


def _encrypted(found: Encrypted, tls: Tls) -> Finding:
    if _is_about_caller(found.refusal) or (found.greeting == "closed" and not found.refusal):
        return _refused_caller(found.refusal, tls=tls)
    if found.refusal:
        sentence = f"{found.version}, then the server ended it ({found.refusal.lower()})"
        return Finding(check=PROTOCOL, mark="wrong", sentence=sentence, advice=_LATER)
    if found.greeting == "http1":
        return Finding(check=PROTOCOL, mark="wrong", sentence=f"{_HTTP1}, encrypted", advice=_OTHER_PORT)
    if found.greeting != "http2":
        return Finding(check=PROTOCOL, mark="wrong", sentence=_UNKNOWN[found.greeting], advice=_LATER)
    if found.protocol != "h2":
        return Finding(
            check=PROTOCOL,
            mark="wrong",
            sentence=f"HTTP/2 in {found.version}, but not agreed on by ALPN, which gRPC requires",
            advice="have what ends TLS in front of the server offer h2",
        )
    return Finding(check=PROTOCOL, mark="ok", sentence=f"HTTP/2 in {found.version}")


def _is_about_caller(reason: str) -> bool:
    """Whether an alert of the server is about the caller's certificate."""
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def _refused_caller(reason: str, *, tls: Tls) -> Finding:
    """By the server's alert, or, as gRPC's servers send none, by the end of the connection."""
    why = f" ({reason.lower()})" if reason else ", after the handshake and without a reason"
    if tls.certificate_chain is None:
        return Finding(
            check=PROTOCOL,
            mark="wrong",
            sentence=f"the server ends the connection as one that wants the caller's certificate{why}",
            advice="mutual TLS: --tls-cert FILE and --tls-key FILE",
        )
    return Finding(
        check=PROTOCOL,
        mark="wrong",
        sentence="the server ends the connection as one that does not know who signed the certificate of "
        f"{os.fspath(tls.certificate_chain)}{why}",
        advice="use one whose authority the server knows (`--client-authorities` of its gateway)",
    )


_PROXIED = "the way is the proxy's"
_HTTP1 = "an HTTP/1 server answers"
_OTHER_PORT = (
    "this is the port of REST, of the metrics or of another program: gRPC has 8001 unless set otherwise"
)
_LATER = "look at the server's log, and at what lies between (a balancer without a server behind it)"
_UNKNOWN = {
    "closed": "the connection is accepted and closed",
    "silent": f"the connection is accepted, then nothing comes for {SECONDS:g} s",
    "other": "what answers speaks neither HTTP nor TLS",
    "tls": "what answers ends TLS at once",
}


CHECKS = (
    Check(name=PORT, look=port),
    Check(name=PROTOCOL, look=protocol, needs=(PORT,)),
    Check(name=CERTIFICATE, look=certificate, needs=(PORT, PROTOCOL)),
)
