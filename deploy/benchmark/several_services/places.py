"""Where the services run: each in a network namespace of its own, or all on loopback."""

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.benchmark.several_services.balancers import Doors

# Set aside for benchmarks of networks (RFC 2544); here they are in namespaces of this program's own only.
_NETWORK = "198.18"
_LOOPBACK_PORTS = range(21_000, 30_000, 10)  # below those that the kernel gives to connections


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where one gateway runs.

    doors       what it listens on
    http_port   of its metrics
    prefix      words before its command
    link        the end of its network that is in its namespace; "": it can't be cut off
    """

    doors: Doors
    http_port: int
    prefix: tuple[str, ...] = ()
    link: str = ""

    def cut(self) -> None:
        """Its network is gone, without a word to those at the other end."""
        _run(*self.prefix, "ip", "link", "set", self.link, "down")

    def join(self) -> None:
        """Its network is there again."""
        _run(*self.prefix, "ip", "link", "set", self.link, "up")


def can_have_namespaces() -> bool:
    """Whether this process may make network namespaces."""
    return os.geteuid() == 0 and _tries("unshare", "--net", "true")


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[Sequence[Place]]:
    """Places in namespaces of their own, each joined to this process's own by a pair of links.

    This process has to be in a namespace that was made for it: all of it ends with its last process.
    """
    _run("ip", "link", "set", "lo", "up")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_namespace(number)) for number in range(count)]


def loopback(count: int) -> Sequence[Place]:
    """Places on this machine's loopback."""
    return [
        Place(doors=Doors(host="127.0.0.1", grpc_port=first + 1, rest_port=first), http_port=first + 2)
        for first in _LOOPBACK_PORTS[:count]
    ]


@contextlib.contextmanager
def _namespace(number: int) -> Iterator[Place]:
    # It holds the namespace, also while no gateway runs in it.
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        ours, theirs = f"hub{number}", f"gateway{number}"
        _until_apart(holder.pid)
        _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(holder.pid))
        _run("ip", "address", "add", f"{_NETWORK}.{number}.1/30", "dev", ours)
        _run("ip", "link", "set", ours, "up")
        host = f"{_NETWORK}.{number}.2"
        _run(*inside, "ip", "address", "add", f"{host}/30", "dev", theirs)
        for link in ("lo", theirs):
            _run(*inside, "ip", "link", "set", link, "up")
        yield Place(
            doors=Doors(host=host, grpc_port=8001, rest_port=8000),
            http_port=8002,
            prefix=inside,
            link=theirs,
        )
    finally:
        holder.kill()
        holder.wait()


def _until_apart(pid: int) -> None:
    """Returns when the process has its own namespace."""
    own = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == own:
        os.sched_yield()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _tries(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False
