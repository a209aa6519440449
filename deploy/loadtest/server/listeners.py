"""Which processes of this machine listen at an address: by /proc, as no package of ours needs to."""

import contextlib
import socket
from pathlib import Path

from deploy.measuring.processes import look

_LISTENING = "0A"  # a socket's state in /proc/net/tcp


def is_here(host: str) -> bool:
    """Whether a host is this machine: one of its addresses can be bound here."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            return True
    return False


def listeners(port: int) -> list[int]:
    """The processes that hold a socket which listens at this TCP port, but for children of one of them.

    PermissionError where one listens that this user may not look at.
    """
    inodes = _listening_inodes(port)
    held = {f"socket:[{inode}]" for inode in inodes}
    holders = [int(path.name) for path in Path("/proc").glob("[0-9]*") if held & _links(path / "fd")]
    if inodes and not holders:
        raise PermissionError(f"what listens at port {port} is another user's")
    return sorted(pid for pid in holders if not set(ancestors(pid)) & set(holders))


def ancestors(pid: int) -> list[int]:
    """The process that started it, the one that started that, and so on."""
    found = []
    while (process := look(pid)) is not None and process.parent > 0:
        pid = process.parent
        found.append(pid)
    return found


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):  # a machine without IPv6
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _links(folder: Path) -> set[str]:
    """Where the descriptors of a process lead; nothing of one that ended, or is another user's."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in folder.iterdir():
            with contextlib.suppress(OSError):
                found.add(str(descriptor.readlink()))
    return found
