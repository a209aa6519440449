"""How many file descriptors of a process are for clients' connections, and how many for its own work."""

import resource

_RESERVED = 256  # a Triton's start, sockets and files of the gateway's own


def reserved_descriptors(limit: int) -> int:
    """Those that connections may not take: without any a sick Triton could not be replaced."""
    return min(_RESERVED, limit // 4)


def most_connections() -> int:
    """How many clients' connections this process takes at a time; further ones are closed at once."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - reserved_descriptors(limit)
