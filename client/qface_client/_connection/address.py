"""What an address of gRPC says: the host, and whether it is this machine."""

import ipaddress


def host_of(url: str) -> str:
    """The host of host:port, without an IPv6 address's brackets."""
    return url.rpartition(":")[0].strip("[]") or url


def is_this_machine(url: str) -> bool:
    """Whether what is sent to the address never leaves this machine: loopback, or a Unix socket."""
    if url.startswith(("unix:", "unix-abstract:")):
        return True
    host = host_of(url).lower()
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
