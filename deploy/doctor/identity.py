"""Who may call: the exposure, the file of keys and the certificates, by the gateway's own rules."""

import datetime
from collections.abc import Iterator

from deploy.doctor.findings import Finding, Host, attempt
from deploy.gateway.identity.exposure import check_exposure
from deploy.gateway.identity.keys import read_keys
from deploy.gateway.identity.tls import EXPIRES_SOON, check_authorities, check_identity, read_pair
from deploy.gateway.options import Identity


def exposure(host: Host) -> Iterator[Finding]:
    """Whether the address may be listened on with these keys and certificates."""
    options = host.options
    if host.runs and options.identity == Identity():
        return  # it has options of its own for this, and was let start with them
    warnings: list[str] = []

    def check() -> None:
        check_identity(options.identity)
        if warning := check_exposure(options.host, options.identity):
            warnings.append(warning)

    yield attempt("exposure", check, ok=lambda _none: f"{options.host} may be listened on")
    for warning in warnings:
        yield Finding(check="exposure", level="note", sentence=warning)


def keys(host: Host) -> Iterator[Finding]:
    """The file of API keys: its mode and its content."""
    path = host.options.identity.keys
    if path is not None:
        yield attempt("keys", lambda: read_keys(path), ok=lambda found: f"{path} holds {len(found)} API keys")


def certificates(host: Host) -> Iterator[Finding]:
    """The server's certificate with its key, and the authorities of clients."""
    identity = host.options.identity
    certificate, private_key = identity.certificate, identity.private_key
    if certificate is not None and private_key is not None:
        ends: list[datetime.datetime] = []
        found = attempt(
            "certificate",
            lambda: ends.append(read_pair(certificate, private_key)),
            ok=lambda _none: f"{certificate} fits its key and holds until {ends[0]:%Y-%m-%d}",
        )
        if ends and ends[0] - datetime.datetime.now(datetime.UTC) < EXPIRES_SOON:
            sentence = f"{certificate} expires on {ends[0]:%Y-%m-%d}: replace it (the gateway reads it again)"
            found = Finding(check="certificate", level="note", sentence=sentence)
        yield found
    authorities = identity.client_authorities
    if authorities is not None:
        yield attempt(
            "authorities",
            lambda: check_authorities(authorities),
            ok=lambda _none: f"{authorities} holds authorities of clients",
        )
