"""check_exposure: nobody listens beyond this machine by accident without knowing who calls."""

import ipaddress
import socket

from deploy.embedded.errors import CannotStart
from deploy.gateway.options import Identity


class Exposed(CannotStart):
    """The gateway would listen beyond loopback without keys or mutual TLS."""


def is_loopback(host: str) -> bool:
    """Whether every address that a host names is this machine's own; a name that resolves to none is not."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    try:
        return _loopback(bare)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM) if bare else []
    except (OSError, UnicodeError):
        found = []
    addresses = {str(address[0]).partition("%")[0] for *_, address in found}
    return bool(addresses) and all(map(_loopback, addresses))


def _loopback(address: str) -> bool:
    number = ipaddress.ip_address(address)
    inner = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    return (inner or number).is_loopback


def check_exposure(host: str, identity: Identity) -> str | None:
    """Exposed with a sentence if `host` must not be listened on so; else a warning to log, or None."""
    if is_loopback(host):
        return None
    if identity.keys is None and identity.client_authorities is None:
        if not identity.insecure:
            raise Exposed(
                f"{host or 'every address'} can be reached from other machines, and nothing tells who calls: "
                "give --keys FILE or mutual TLS (--certificate, --private-key, --client-authorities), "
                "listen on 127.0.0.1, or add --insecure where the "
                "network lets only callers in that may use everything"
            )
        return f"insecure: everybody who reaches {host or 'this machine'} may use everything"
    if identity.certificate is None:
        return (
            f"API keys and faces cross the network to {host or 'this machine'} in clear text: give "
            "--certificate and --private-key, or let a proxy on this machine end TLS"
        )
    return None
