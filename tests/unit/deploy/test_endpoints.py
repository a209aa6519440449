"""A server listens on ports, or on sockets in a folder that nobody else may enter."""

import socket
from pathlib import Path

import pytest

from deploy.embedded import CannotStart, EmbeddedServerError
from deploy.embedded.endpoints import TcpEndpoints, private_endpoints
from deploy.embedded.ports import Ports, settle


def test_ports_are_named_to_the_server_and_http_is_off_without_one() -> None:
    endpoints = TcpEndpoints(host="127.0.0.1", ports=settle(Ports(), host="127.0.0.1"))
    assert "--allow-http=false" in endpoints.arguments()
    assert not any(argument.startswith("--http-port") for argument in endpoints.arguments())
    with pytest.raises(EmbeddedServerError, match="http_port"):
        _ = endpoints.http_address
    with_http = TcpEndpoints(host="127.0.0.1", ports=settle(Ports(http=0), host="127.0.0.1"))
    assert f"--http-port={with_http.ports.http}" in with_http.arguments()
    assert "--allow-http=false" not in with_http.arguments()


def test_a_folder_for_sockets_is_made_private_and_stale_sockets_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    endpoints = private_endpoints(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not endpoints.is_open()
    paths = [
        Path(address.removeprefix("unix:")) for address in (endpoints.grpc_address, endpoints.metrics_address)
    ]
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for server, path in zip((first, second), paths, strict=True):
            server.bind(str(path))
            server.listen()
        assert endpoints.is_open()
    assert not endpoints.is_open()
    assert all(path.exists() for path in paths)
    assert not private_endpoints(folder).is_open()
    assert not any(path.exists() for path in paths)


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(CannotStart, match="nobody else may enter"):
        private_endpoints(tmp_path)
    link = tmp_path / "link"
    (tmp_path / "private").mkdir(mode=0o700)
    link.symlink_to("private")
    with pytest.raises(CannotStart, match="nobody else may enter"):
        private_endpoints(link)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="too long"):
        private_endpoints(tmp_path / ("x" * 100))
