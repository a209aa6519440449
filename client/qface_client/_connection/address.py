"""What an address of gRPC says: its hosts, whether they are this machine, and whether it is several servers.

One server (or what stands for many) is "host:port" or "unix:PATH". Several servers, among which the client
itself balances, are "a:8001,b:8001" (names or IP addresses), or "dns:///faces:8001", a name with all their
addresses.
"""

import ipaddress
import os
from collections.abc import Sequence

from ..errors import InvalidInput
from .lookup import numbers_of

DEFAULT_URL = "localhost:8001"

_SOCKETS = ("unix:", "unix-abstract:")
_DNS = "dns:"
_LISTS = {4: "ipv4:", 6: "ipv6:"}  # gRPC's names of targets that are lists, by the version of IP


def usual() -> str:
    """The address where none is given: what QFACE_URL says, or this machine."""
    return os.environ.get("QFACE_URL") or DEFAULT_URL


def joined(url: str | Sequence[str] | None) -> str:
    """One address or a list of them as one text, None as the usual one; InvalidInput for what is neither."""
    if url is None:
        return usual()
    if isinstance(url, str):
        return url
    parts = list(url) if isinstance(url, Sequence) else None
    if parts is None or not all(isinstance(part, str) for part in parts):
        raise InvalidInput(f"the address is a text such as 'faces:8001', or a list of them, not {url!r}")
    if not parts:
        raise InvalidInput("the list of servers is empty: name one at least, by its host:port")
    for part in parts if len(parts) > 1 else ():
        if not part.strip() or "," in part or part.startswith((*_SOCKETS, _DNS)) or "://" in part:
            raise InvalidInput(f"each of several servers is its host:port, not {part!r} of {parts!r}")
    return ",".join(parts)


def host_of(url: str) -> str:
    """The host of host:port, without an IPv6 address's brackets; of several the first."""
    return _host(_parts(url)[0])


def servers_of(url: str) -> list[tuple[str, int | None]]:
    """Host and port of each server that an address names; the path of a Unix socket, without a port.

    The port is None where there is none, and gRPC takes its own.
    """
    if url.startswith(_SOCKETS):
        return [(url, None)]
    parts = [(_host(part), part.rpartition(":")[2]) for part in _parts(url)]
    return [(host, int(port) if port.isdecimal() else None) for host, port in parts]


def is_this_machine(url: str) -> bool:
    """Whether what is sent to the address never leaves this machine: loopback, or a Unix socket."""
    return url.startswith(_SOCKETS) or all(_is_local(_host(part)) for part in _parts(url))


def is_several(url: str) -> bool:
    """Whether the address names several servers, each of them one of its own."""
    return not url.startswith(_SOCKETS) and (url.startswith(_DNS) or len(_parts(url)) > 1)


def common_name(url: str) -> str | None:
    """The name that all servers of a list have, by which their certificates can be checked; None: there is
    no such name."""
    hosts = {_host(part) for part in _parts(url)}
    name = hosts.pop()
    return None if hosts or _is_number(name) else name


def target_of(url: str) -> str:
    """The address as gRPC takes it; the names of several servers are looked up.

    InvalidInput for what is no address, ConnectError where none of several servers has one.
    """
    if not url.strip() or ("://" in url and not url.startswith(_DNS)):
        raise InvalidInput(
            f"the address is host:port of the server's gRPC, not {url!r}: leave the scheme out, or give "
            "dns:///NAME:PORT where each address of a name is a server of its own"
        )
    if url.startswith(_DNS) and not _parts(url)[0]:
        raise InvalidInput(f"the address {url!r} has no name: give dns:///NAME:PORT")
    listed = url.startswith(tuple(_LISTS.values()))
    if url.startswith((*_SOCKETS, _DNS)):
        return url
    if not (listed or is_several(url)):
        _check_one(url)
        return url
    version, numbers = numbers_of([_host_and_port(part, url=url) for part in _parts(url)])
    return _LISTS[version] + ",".join(numbers)


def _parts(url: str) -> list[str]:
    """Each host:port of an address."""
    for scheme in (_DNS, *_LISTS.values()):
        if url.startswith(scheme):
            url = url.removeprefix(scheme).rpartition("/")[2]  # what stands before names a DNS server
            break
    return [part.strip() for part in url.split(",")]


def _host(part: str) -> str:
    return part.rpartition(":")[0].strip("[]") or part


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check_one(url: str) -> None:
    """InvalidInput for what is no host:port; gRPC would take the port of HTTPS where none is named."""
    if _host_and_port_of(url) is None:
        raise InvalidInput(
            f"the address is host:port of the server's gRPC, not {url!r}: name both, such as 'faces:8001', "
            "and an IPv6 address in brackets ('[::1]:8001')"
        )


def _host_and_port(part: str, *, url: str) -> tuple[str, int]:
    """One of several servers."""
    found = _host_and_port_of(part)
    if found is None:
        raise InvalidInput(
            f"several servers are named by host:port each, with commas in between (an IPv6 address in "
            f"brackets); {part!r} of {url!r} is none"
        )
    return found


def _host_and_port_of(part: str) -> tuple[str, int] | None:
    host, _, port = part.rpartition(":")
    name = host.strip("[]")
    if host.startswith("[") != host.endswith("]"):
        return None
    if not name or host.startswith("[") != (":" in name) or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return name, int(port)
