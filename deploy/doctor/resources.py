"""Room: shared memory, memory and disks, and the ports."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from deploy.doctor.findings import Finding, Host, attempt
from deploy.embedded import ports
from deploy.embedded.environment import PROJECT
from deploy.embedded.host_check import SharedMemory, check_room, model_process_count, recommended_mebibytes
from deploy.gateway.backends.standby import available_bytes

_MEBIBYTE = 1 << 20
# Of a Triton with an engine on the CPU, and of each process of a Python model, some of which find faces.
_TRITON_BYTES = 600 * _MEBIBYTE
_PROCESS_BYTES = 80 * _MEBIBYTE
_LITTLE_DISK = 256 * _MEBIBYTE


def shared_memory(host: Host) -> Iterator[Finding]:
    """/dev/shm, which the models' processes exchange tensors through."""
    if host.models is None:
        return
    models, config_name = host.models
    found = attempt("shared memory", lambda: check_room(models, config_name=config_name), ok=lambda _none: "")
    if found.level != "ok" and not host.runs:  # what runs has taken its part already
        yield found
        return
    now = SharedMemory.now()
    wanted = recommended_mebibytes(model_process_count(models, config_name=config_name))
    if now.size and now.size < wanted * _MEBIBYTE:
        yield Finding(
            check="shared memory",
            level="note",
            sentence=f"/dev/shm is small, {now.shown}: the service starts, and for large requests {wanted} "
            f"MiB are wanted: enlarge it (`docker run --shm-size={wanted}m`, "
            f"`mount -o remount,size={wanted}m /dev/shm`)",
        )
    else:
        yield Finding(check="shared memory", level="ok", sentence=f"/dev/shm is large enough: {now.shown}")


def memory(host: Host) -> Iterator[Finding]:
    """The machine's memory, or its control group's."""
    if host.models is None or host.runs:
        return
    models, config_name = host.models
    wanted = _TRITON_BYTES + _PROCESS_BYTES * model_process_count(models, config_name=config_name)
    available = available_bytes()
    shown = f"{available // _MEBIBYTE} MiB of memory are available"
    if available < wanted:
        yield Finding(
            check="memory",
            level="note",
            sentence=f"{shown}, and this repository's processes want some {wanted // _MEBIBYTE} MiB: raise "
            "the limit, or serve with fewer instances (a file of settings, docs/performance.md)",
        )
    else:
        yield Finding(check="memory", level="ok", sentence=shown)


def disks(host: Host) -> Iterator[Finding]:
    """Where files are written: the runnable copy's folder, and that of repositories and engines."""
    cache = host.options.cache or PROJECT / "var"
    repositories = host.options.repository.absolute().parent
    places = {"cache": cache, "repositories": repositories}
    for what, folder in places.items():
        exists = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        yield _disk(what, folder, nearest=exists)


def _disk(what: str, folder: Path, *, nearest: Path) -> Finding:
    check = f"disk of the {what}"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            check=check,
            level="note",
            sentence=f"{folder} can't be written by user {os.geteuid()}: that is fine where nothing is made "
            "there (an installed Triton, a repository from elsewhere), else give the folder to this user",
        )
    free = shutil.disk_usage(nearest).free
    if free < _LITTLE_DISK:
        return Finding(
            check=check,
            level="note",
            sentence=f"{folder} has {free // _MEBIBYTE} MiB free: a copy of the server takes 24 MB, a "
            "repository as much as its networks, and a swap keeps two: make room",
        )
    return Finding(check=check, level="ok", sentence=f"{folder} has {free // _MEBIBYTE} MiB free")


def _numbers(settled: ports.Ports) -> list[str]:
    return [str(port) for port in (settled.grpc, settled.http, settled.rest) if port is not None]


def free_ports(host: Host) -> Iterator[Finding]:
    """The ports that the gateway would listen on."""
    options = host.options
    if host.runs:
        yield Finding(
            check="ports", level="ok", sentence="a gateway of this repository runs, so the ports are its own"
        )
        return
    wanted = ports.Ports(
        grpc=options.grpc_port,
        http=options.http_port,
        rest=None if options.no_rest else options.rest_port,
    )
    yield attempt(
        "ports",
        lambda: ports.settle(wanted, host=options.host),
        ok=lambda settled: f"the ports {', '.join(_numbers(settled))} of {options.host} are free",
    )
