"""A server's certificate: its names and dates, and why it does not hold."""

import contextlib
import dataclasses
import datetime
import os
import re
import ssl
from pathlib import Path

import grpc

from ..._connection.access import Tls
from .sockets import CannotConnect, Place, handshake

# Of X.509's Validity (RFC 5280, 4.1.2.5): two times, each of two-digit or of four-digit years.
_TIME = rb"(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)"
_VALIDITY = re.compile(rb"\x30[\x1e-\x22]" + _TIME + _TIME)

# OpenSSL's X509_V_ERR_ numbers.
_NOT_YET_VALID, _EXPIRED, _HOSTNAME, _ADDRESS = 9, 10, 62, 64


def unverifying(tls: Tls | None) -> ssl.SSLContext:
    """To look at a server's certificate whatever it is; nothing of a caller but its certificate goes there.

    Raises ssl.SSLError where the caller's own files are none, or no pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context if tls is None else _with_own(context, tls)


def verifying(tls: Tls, *, trusting: bytes | None = None) -> ssl.SSLContext:
    """With the roots that gRPC would take, or with one certificate alone (`trusting`, DER).

    Raises ssl.SSLError as `unverifying`, and where the roots' file has no certificate.
    """
    context = _with_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls)
    bundled = Path(grpc.__file__).parent / "_cython" / "_credentials" / "roots.pem"
    named = tls.root_certificates or os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
    if trusting is not None:
        context.load_verify_locations(cadata=trusting)
    elif named is not None or bundled.exists():
        context.load_verify_locations(named or bundled)
    else:
        context.load_default_certs()
    return context


def _with_own(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    if tls.certificate_chain is not None:
        # A key with a password is refused; without this the terminal would be prompted for it.
        context.load_cert_chain(tls.certificate_chain, tls.private_key, password=lambda: "")
    return context


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """What is read of it; dates None and no names where it can't be."""

    names: tuple[str, ...]
    begins: datetime.datetime | None
    ends: datetime.datetime | None

    @property
    def days_left(self) -> float | None:
        """Days from now until it ends."""
        if self.ends is None:
            return None
        return (self.ends - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400


def read(der: bytes, place: Place, *, tls: Tls, name: str, seconds: float) -> Certificate:
    """The certificate that a server has shown; `place` is where it shows it again."""
    begins, ends = _dates(der)
    return Certificate(
        names=_names(der, place, tls=tls, name=name, seconds=seconds), begins=begins, ends=ends
    )


def _dates(der: bytes) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    # The ssl module gives the dates of certificates that it has found valid only.
    found = _VALIDITY.search(der)
    if found is None:
        return None, None
    groups = found.groups()
    return _date(groups[0], groups[1]), _date(groups[2], groups[3])


def _date(short: bytes | None, long: bytes | None) -> datetime.datetime | None:
    if short is not None:
        century = b"20" if short < b"50" else b"19"
        long = century + short
    with contextlib.suppress(ValueError, TypeError):
        read = datetime.datetime.strptime((long or b"").decode(), "%Y%m%d%H%M%S")
        return read.replace(tzinfo=datetime.timezone.utc)
    return None


def _names(der: bytes, place: Place, *, tls: Tls, name: str, seconds: float) -> tuple[str, ...]:
    """Its names, by a handshake that trusts this very certificate; none of one that is out of date."""
    context = verifying(tls, trusting=der)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with contextlib.suppress(ssl.SSLError, CannotConnect):
        return handshake(place, context, name=name, seconds=seconds).names
    return ()


def explain(error: ssl.SSLCertVerificationError, certificate: Certificate, *, name: str) -> tuple[str, str]:
    """Why it does not hold, and what to do."""
    if error.verify_code in (_HOSTNAME, _ADDRESS):
        names = ", ".join(certificate.names) or "other names"
        return f"it is for {names}, not for {name}", "give an address with a name that it has, by --url"
    if error.verify_code == _EXPIRED:
        when = f" on {certificate.ends:%Y-%m-%d %H:%M} UTC" if certificate.ends else ""
        return f"it ended{when}", "who runs the server has to renew it"
    if error.verify_code == _NOT_YET_VALID:
        begins = f" before {certificate.begins:%Y-%m-%d %H:%M} UTC" if certificate.begins else " yet"
        now = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"
        return f"it does not hold{begins}", f"check this machine's clock, which is at {now}"
    return (
        f"who signed it is not known here ({error.verify_message})",
        "--tls-ca FILE (QFACE_TLS_CA) with the certificate of the authority that signed it",
    )
