"""Which processes listen at a port of this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.loadtest.protocols.base import Target
from deploy.loadtest.server.listeners import is_here, listeners
from deploy.loadtest.server.local import server_roots


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_process_that_listens_is_found_and_not_its_children(
    family: socket.AddressFamily, host: str
) -> None:
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        port = listening.getsockname()[1]
        assert listeners(port) == []
        listening.listen()
        waits = [sys.executable, "-c", "input()"]
        with subprocess.Popen(waits, stdin=subprocess.PIPE, pass_fds=[listening.fileno()]) as child:
            assert listeners(port) == [os.getpid()]
            child.communicate(b"\n")


def test_a_connection_to_a_port_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            listening.close()
            assert listeners(port) == []
            assert listeners(connection.getsockname()[1]) == []


def test_this_machine_is_told_from_others() -> None:
    assert is_here("127.0.0.1")
    assert is_here("::1")
    assert not is_here("192.0.2.1")  # of a network that is only for documents


def test_a_server_elsewhere_has_no_processes_here() -> None:
    with pytest.raises(ConnectionError, match="on another machine"):
        server_roots(Target(protocol="grpc", address="192.0.2.1:8001"), supervisor_pid=None)


def test_a_port_where_nobody_listens_has_no_processes() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(ConnectionError, match=f"no process of this machine listens at port {port}"):
            server_roots(Target(protocol="grpc", address=f"127.0.0.1:{port}"), supervisor_pid=None)


def test_a_supervisor_that_is_known_is_the_root() -> None:
    target = Target(protocol="grpc", address="192.0.2.1:8001")
    assert server_roots(target, supervisor_pid=os.getpid()) == [os.getpid()]


def test_a_process_of_another_user_can_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", refuse)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(PermissionError, match=f"what listens at port {port} is another user's"):
            listeners(port)


def refuse(path: Path) -> NoReturn:
    raise PermissionError(str(path))


def test_what_forwards_to_a_server_is_not_the_server() -> None:
    """As a container's port is, of which only the forwarder runs here."""
    program = (
        "import socket; at = socket.create_server(('127.0.0.1', 0))\n"
        "print(at.getsockname()[1], flush=True); input()"
    )
    words = ["docker-proxy", "-c", program]
    with subprocess.Popen(
        words, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as forwarder:
        assert forwarder.stdout is not None
        address = f"127.0.0.1:{int(forwarder.stdout.readline())}"
        with pytest.raises(ConnectionError, match="docker-proxy listens at port"):
            server_roots(Target(protocol="grpc", address=address), supervisor_pid=None)
        forwarder.communicate(b"\n")
