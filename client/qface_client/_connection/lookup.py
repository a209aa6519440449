"""The addresses of several servers that are given by their names, as gRPC takes a list of numbers only."""

import concurrent.futures
import ipaddress
import logging
import socket
from collections.abc import Sequence

from ..errors import ConnectError, InvalidInput

_log = logging.getLogger("qface_client")
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def numbers_of(servers: Sequence[tuple[str, int]]) -> tuple[int, list[str]]:
    """The version of IP that all servers have (4 before 6), and "address:port" of each.

    `servers`: hosts, names or addresses, with their ports. ConnectError where no name has an address. A name
    without one is left out, with a line in the log. InvalidInput where there is no common version.
    """
    hosts = list(dict.fromkeys(host for host, _ in servers))
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        found = dict(zip(hosts, pool.map(_addresses, hosts), strict=True))
    unknown = {host: reason for host, reason in found.items() if isinstance(reason, str)}
    if len(unknown) == len(hosts):
        names = ", ".join(f"{host} ({reason})" for host, reason in unknown.items())
        raise ConnectError(f"no server has an address: {names}; check the names", retry_after=0.0)
    for host, reason in unknown.items():
        _log.warning("%s has no address (%s): the other servers are asked without it", host, reason)
    known = {host: addresses for host, addresses in found.items() if not isinstance(addresses, str)}
    for version in _FAMILIES:
        if all(addresses[version] for addresses in known.values()):
            numbers = [
                f"{address}:{port}" if version == 4 else f"[{address}]:{port}"
                for host, port in servers
                if host in known
                for address in known[host][version]
            ]
            return version, list(dict.fromkeys(numbers))
    raise InvalidInput(
        f"several servers have addresses of one sort, all IPv4 or all IPv6, not {', '.join(known)}"
    )


def _addresses(host: str) -> dict[int, list[str]] | str:
    """The addresses by IP version; where there are none, why."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return {version: [str(number)] if number.version == version else [] for version in _FAMILIES}
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is no name of the DNS
        return error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return {
        version: list(dict.fromkeys(str(entry[4][0]) for entry in found if entry[0] == family))
        for version, family in _FAMILIES.items()
    }
