"""What an address of gRPC says: its hosts, whether they are this machine, and whether it is several servers.

One server (or what stands for many) is "host:port" or "unix:PATH". Several servers, among which the client
itself balances, are "10.0.0.5:8001,10.0.0.6:8001", or "dns:///faces:8001", a name with all their addresses.
"""

import ipaddress

from ..errors import InvalidInput

_SOCKETS = ("unix:", "unix-abstract:")
_DNS = "dns:"
_LISTS = {4: "ipv4:", 6: "ipv6:"}  # gRPC's names of targets that are lists, by the version of IP


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


def target_of(url: str) -> str:
    """The address as gRPC takes it; InvalidInput for one that is none."""
    if not url.strip() or ("://" in url and not url.startswith(_DNS)):
        raise InvalidInput(
            f"the address is host:port of the server's gRPC, not {url!r}: leave the scheme out, or give "
            "dns:///NAME:PORT where each address of a name is a server of its own"
        )
    if url.startswith(_DNS) and not _parts(url)[0]:
        raise InvalidInput(f"the address {url!r} has no name: give dns:///NAME:PORT")
    listed = url.startswith(tuple(_LISTS.values()))
    if url.startswith((*_SOCKETS, _DNS)) or not (listed or is_several(url)):
        return url
    parts = _parts(url)
    versions = {_version(part, url=url) for part in parts}
    if len(versions) > 1:
        raise InvalidInput(f"several servers have addresses of one sort, all IPv4 or all IPv6, not {url!r}")
    return _LISTS[versions.pop()] + ",".join(parts)


def _parts(url: str) -> list[str]:
    """Each host:port of an address."""
    for scheme in (_DNS, *_LISTS.values()):
        if url.startswith(scheme):
            url = url.removeprefix(scheme).rpartition("/")[2]  # what stands before names a DNS server
            break
    return [part.strip() for part in url.split(",")]


def _host(part: str) -> str:
    return part.rpartition(":")[0].strip("[]") or part


def _is_local(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _version(part: str, *, url: str) -> int:
    """4 or 6. gRPC resolves a single name only, so of several servers each has its number."""
    host, _, port = part.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        bracketed = host.startswith("[")
        if bracketed != (address.version == 6) or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(part)
    except ValueError:
        raise InvalidInput(
            f"several servers are IP addresses, each with its port and with commas in between; {part!r} of "
            f"{url!r} is none: give one name that has all their addresses as dns:///NAME:PORT"
        ) from None
    return address.version
