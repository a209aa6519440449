"""Tritons' shared memory is this user's alone, holds nothing of an ended gateway, and is left by none."""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.benchmark.faults.whole import is_ready
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import processes_below, send, tritons
from tests.helpers import tiny_repository
from tests.helpers.bystanders import eventually

SHARED_MEMORY = Path("/dev/shm")


def regions_of(pids: set[int]) -> list[Path]:
    """The regions of Tritons that these processes have started: a region's name has its starter's pid."""
    return [path for pid in pids for path in SHARED_MEMORY.glob(f"qface_{pid}_*")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tiny_repository.write(tmp_path / "repository", echo=tiny_repository.ECHO)


@pytest.fixture
def gateway(repository: Path) -> Iterator[GatewayServer]:
    with GatewayServer(repository) as running:
        yield running


def test_regions_are_this_users_alone_and_go_with_the_gateway(repository: Path) -> None:
    with GatewayServer(repository) as gateway:
        supervisor = gateway.supervisor_pid
        owners = {supervisor, *processes_below(supervisor)}
        regions = regions_of(owners)
        assert regions, "no region was found where Triton has some"
        for region in regions:
            assert stat.S_IMODE(region.lstat().st_mode) & 0o077 == 0 or region.is_symlink(), region
    assert not regions_of(owners)


@pytest.mark.parametrize(
    "whom", ["triton", *(pytest.param(whom, marks=pytest.mark.heavy) for whom in ("main", "supervisor"))]
)
def test_nothing_is_left_by_what_was_killed(gateway: GatewayServer, whom: str) -> None:
    """A killed Triton and a killed gateway are replaced; a killed supervisor takes everything with it."""
    supervisor = gateway.supervisor_pid
    owners = {supervisor, *processes_below(supervisor)}
    before = regions_of(owners)
    assert before
    old = tritons(supervisor)
    if whom == "supervisor":
        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in owners - {supervisor}))
        assert eventually(lambda: not regions_of(owners))
        return
    send(gateway.triton_pid if whom == "triton" else gateway.pid, signal.SIGKILL, below=supervisor)
    assert eventually(lambda: bool(set(tritons(supervisor)) - set(old)) and is_ready(gateway))
    gateway.stop()
    assert eventually(lambda: not regions_of(owners))
