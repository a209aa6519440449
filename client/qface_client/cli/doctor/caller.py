"""Who calls whom, by the options and the environment: the address, the encryption, the key, the proxy."""

import argparse
import contextlib
import dataclasses
import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..._connection.access import KEY, KEY_FILE, Tls, authorization, tls_files
from ..._connection.address import host_of, is_several, servers_of, target_of
from ..._connection.channel import proxy_hint
from ...errors import InvalidInput, QFaceError
from .. import connection_options
from . import certificates
from .findings import Check, Finding

ADDRESS, ENCRYPTION, KEY_CHECK, PROXY = "address", "encryption", "key", "proxy"


@dataclasses.dataclass(kw_only=True)
class Caller:
    """The options, and what the checks make of them."""

    options: argparse.Namespace
    tls: Tls | None = None  # None: not encrypted

    @property
    def url(self) -> str:
        """The address as it was given."""
        url: str = self.options.url
        return url

    @property
    def proxied(self) -> bool:
        """Whether gRPC goes through a proxy, so that the way to a server is the proxy's."""
        return bool(proxy_hint(self.url))

    @property
    def access(self) -> dict[str, Any]:
        """FaceClient's arguments for key and encryption; the checks here have found them good."""
        return {**connection_options.access(self.options), "tls": self.tls or False}


def address(caller: Caller) -> Iterator[Finding]:
    """Whether gRPC can take the address; names are looked up later."""
    named = servers_of(caller.url)
    try:
        if not (is_list := len(named) > 1):
            target_of(caller.url)
    except InvalidInput as error:
        yield Finding(check=ADDRESS, mark="wrong", sentence=str(error))
        return
    if is_list and not all(host and port for host, port in named):
        yield Finding(
            check=ADDRESS,
            mark="wrong",
            sentence=f"each of several servers is its host:port, which is not so in {caller.url!r}",
        )
        return
    where = ", ".join(f"{host} port {port}" if port else host for host, port in named)
    kind = "each of its addresses is a server: " if caller.url.startswith("dns:") else ""
    yield Finding(check=ADDRESS, mark="ok", sentence=f"{kind}{where}")


def encryption(caller: Caller) -> Iterator[Finding]:
    """Whether the certificates' files can be used."""
    try:
        caller.tls = tls_files(connection_options.tls(caller.options))
        if caller.tls is not None:
            certificates.verifying(caller.tls)
    except InvalidInput as error:
        yield Finding(check=ENCRYPTION, mark="wrong", sentence=str(error))
        return
    except ssl.SSLError as error:
        yield Finding(
            check=ENCRYPTION,
            mark="wrong",
            sentence=f"the certificates' files can't be used ({(error.reason or str(error)).lower()})",
            advice="give the certificate and the key that belong to it, without a password, as PEM files",
        )
        return
    if caller.tls is None:
        yield Finding(check=ENCRYPTION, mark="ok", sentence="none (--tls or QFACE_TLS=1 turns it on)")
        return
    roots, own = caller.tls.root_certificates, caller.tls.certificate_chain
    trusted = f"roots of {os.fspath(roots)}" if roots else "gRPC's own roots (--tls-ca names others)"
    mutual = f", own certificate {os.fspath(own)}" if own else ""
    yield Finding(check=ENCRYPTION, mark="ok", sentence=f"TLS, {trusted}{mutual}")


def key(caller: Caller) -> Iterator[Finding]:
    """Whether there is a key, and whether it can be sent; the key itself is in no sentence."""
    file = caller.options.api_key_file
    if file is None and not os.environ.get(KEY, "").strip():
        file = os.environ.get(KEY_FILE)
    try:
        given = connection_options.access(caller.options)
        metadata = authorization(
            given["api_key"],
            url=caller.url,
            encrypted=caller.tls is not None,
            insecure_key=caller.options.insecure_key,
        )
    except InvalidInput as error:
        yield Finding(check=KEY_CHECK, mark="wrong", sentence=str(error))
        return
    if not metadata:
        yield Finding(check=KEY_CHECK, mark="ok", sentence="none is given")
        return
    source = file if file is not None else KEY
    if file is not None and _is_open(Path(file)):
        yield Finding(
            check=KEY_CHECK,
            mark="note",
            sentence=f"from {source}, which other users of this machine can read",
            advice=f"chmod 600 {source}",
        )
        return
    yield Finding(check=KEY_CHECK, mark="ok", sentence=f"from {source}")


def proxy(caller: Caller) -> Iterator[Finding]:
    """Whether gRPC would go through a proxy."""
    if caller.proxied:
        sentence, _, advice = proxy_hint(caller.url).removeprefix("; ").partition(": ")
        yield Finding(check=PROXY, mark="note", sentence=sentence, advice=advice)
        return
    why = " for several servers" if is_several(caller.url) else f" for {host_of(caller.url)}"
    yield Finding(check=PROXY, mark="ok", sentence=f"none is used{why}")


def client(caller: Caller) -> Iterator[Finding]:
    """Whether a client can be made of all of it, once names are known to have addresses; a finding only
    where not."""
    try:
        connection_options.client(caller.options).close()
    except QFaceError as error:
        yield Finding(check=ADDRESS, mark="wrong", sentence=str(error))


def _is_open(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    return False


CHECKS = (
    Check(name=ADDRESS, look=address),
    Check(name=ENCRYPTION, look=encryption),
    Check(name=KEY_CHECK, look=key, needs=(ADDRESS, ENCRYPTION)),
    Check(name=PROXY, look=proxy, needs=(ADDRESS,)),
)
