"""Envoy and nginx before gateways, from the files of deploy/balancing."""

import contextlib
import dataclasses
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from deploy.embedded.environment import PROJECT

TEMPLATES = PROJECT / "deploy" / "balancing"
_HOST = "faces.example"
_GRPC, _REST, _ADMIN = 8001, 8000, 9901  # the ports that stand in the files
_START_SECONDS = 20.0
_STOP_SECONDS = 20.0
_TICK = 0.05
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doors:
    """Where a gateway or a balancer listens."""

    host: str
    grpc_port: int
    rest_port: int

    @property
    def grpc(self) -> str:
        return f"{self.host}:{self.grpc_port}"

    @property
    def rest(self) -> str:
        return f"{self.host}:{self.rest_port}"


def program(name: str) -> Path | None:
    """Where a balancer's program lies: in .venv-deploy, on PATH or in /usr/sbin."""
    searched = os.pathsep.join(
        (str(PROJECT / ".venv-deploy" / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin")
    )
    found = shutil.which(name, path=searched)
    return Path(found) if found else None


def rendered(template: str, gateways: Sequence[Doors], *, doors: Doors, admin_port: int = _ADMIN) -> str:
    """A file of deploy/balancing for these gateways, listening at `doors`.

    A line that names the gateways' host stands once for each of them.
    """
    lines: list[str] = []
    for line in template.splitlines():
        if _HOST in line and not line.lstrip().startswith("#"):
            lines += [_for(line, gateway) for gateway in gateways]
        else:
            lines.append(line)
    ports = {_GRPC: doors.grpc_port, _REST: doors.rest_port}
    text = "\n".join(lines) + "\n"
    for port, wanted in ports.items():
        text = text.replace(
            f"{{address: 0.0.0.0, port_value: {port}}}", f"{{address: {doors.host}, port_value: {wanted}}}"
        )
        text = re.sub(rf"\blisten {port}\b(?!.*ssl)", f"listen {doors.host}:{wanted}", text)
    return text.replace(f"port_value: {_ADMIN}", f"port_value: {admin_port}")


@contextlib.contextmanager
def envoy(
    folder: Path,
    gateways: Sequence[Doors],
    *,
    doors: Doors,
    admin_port: int,
    exchanged: Mapping[str, str] = _NOTHING,
) -> Iterator[Doors]:
    """A running Envoy; FileNotFoundError where there is no such program.

    `exchanged`: words of its configuration, and what stands in their place.
    """
    file = folder / "envoy.yaml"
    text = rendered((TEMPLATES / file.name).read_text(), gateways, doors=doors, admin_port=admin_port)
    file.write_text(_with(text, exchanged))
    command = [
        *(_required("envoy"), "-c", str(file), "--concurrency", "1", "--log-level", "warning"),
        "--disable-hot-restart",
    ]
    with _running(command, folder / "envoy.log", doors):
        yield doors


@contextlib.contextmanager
def nginx(
    folder: Path, gateways: Sequence[Doors], *, doors: Doors, exchanged: Mapping[str, str] = _NOTHING
) -> Iterator[Doors]:
    """A running nginx; FileNotFoundError where there is no such program. `exchanged`: as for Envoy."""
    command = nginx_command(folder, gateways, doors=doors)
    file = folder / "nginx.conf"
    file.write_text(_with(file.read_text(), exchanged))
    with _running(command, folder / "nginx.log", doors):
        yield doors


def nginx_command(folder: Path, gateways: Sequence[Doors], *, doors: Doors) -> list[str]:
    """The command of an nginx that writes below `folder` alone, which has its configuration then."""
    file = folder / "nginx.conf"
    text = rendered((TEMPLATES / file.name).read_text(), gateways, doors=doors)
    sorts = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"    {sort}_temp_path {folder}/{sort};\n" for sort in sorts)
    file.write_text(text.replace("http {\n", f"http {{\n{places}", 1))
    run = f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;"
    return [
        _required("nginx"),
        "-p",
        str(folder),
        "-e",
        f"{folder}/nginx-error.log",
        "-c",
        str(file),
        "-g",
        run,
    ]


def _for(line: str, gateway: Doors) -> str:
    line = line.replace(_HOST, gateway.host)
    for port, its in ((_GRPC, gateway.grpc_port), (_REST, gateway.rest_port)):
        line = re.sub(rf"(:|port_value: ){port}\b", rf"\g<1>{its}", line)
    return line


def _with(text: str, exchanged: Mapping[str, str]) -> str:
    for words, others in exchanged.items():
        text = text.replace(words, others)
    return text


def _required(name: str) -> str:
    found = program(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: `make .venv-deploy`, or `apt-get install {name}`")
    return str(found)


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path, doors: Doors) -> Iterator[None]:
    with log.open("w") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + _START_SECONDS
        while not all(_listens(doors.host, port) for port in (doors.grpc_port, doors.rest_port)):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{Path(command[0]).name} does not listen: {log.read_text()[-2000:]}")
            time.sleep(_TICK)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex((host, port)) == 0
