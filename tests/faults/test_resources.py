"""A gateway whose memory, disk, descriptors or clock fail goes on by itself, and names what it lacks."""

import contextlib
import datetime
import functools
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.faults.private_mounts import NOBODY_MOUNTS, Filler, mounted, seen_by, way_to_mount
from deploy.benchmark.faults.wall_clock import NO_COMPILER, ShiftedClock, shifted_clock
from deploy.benchmark.faults.whole import is_ready
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.embedded.errors import NoRoom
from deploy.embedded.process_guard import SHARED_MEMORY
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import model_processes
from tests.helpers import tiny_repository

SECONDS = 30.0
SMALL, LARGE = 32, 1500  # pixels of a crop's side; the large one needs 7 MB of shared memory
SHARED_BYTES, DISK_BYTES, DISK_FILES = 24 << 20, 1 << 20, 64
HOUR = 3600.0

pytestmark = pytest.mark.skipif(way_to_mount() is None, reason=NOBODY_MOUNTS)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """Where the gateway sees a small disk, and nobody else anything: a short path, for sockets."""
    folder = Path(f"/tmp/qface-test-disk-{os.getpid()}")
    folder.mkdir()
    yield folder
    folder.rmdir()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_repository.write(tmp_path_factory.mktemp("resources"), echo=tiny_repository.ECHO)


@pytest.fixture(scope="module")
def gateway(repository: Path, disk: Path) -> Iterator[GatewayServer]:
    """One whose shared memory, disk and clock are its own."""
    clock = shifted_clock()
    prefix = (
        *mounted({SHARED_MEMORY: SHARED_BYTES}),
        *mounted({disk: DISK_BYTES}, files=DISK_FILES),
        *("env", f"TMPDIR={disk}", f"XDG_RUNTIME_DIR={disk}"),
        *((word for word in clock.prefix if "=" in word) if clock is not None else ()),
    )
    arguments = ["--log", f"{disk}/log", "--access-log", f"{disk}/access", "--ready-file", f"{disk}/ready"]
    with GatewayServer(repository, prefix=prefix, arguments=arguments) as running:
        yield running


def send(gateway: GatewayServer, side: int) -> str:
    """The status of a crop of noughts; an answer has the same ones."""
    request = v2.ModelInferRequest(model_name="echo")
    request.inputs.add(name="crop", datatype="UINT8", shape=[1, side, side, 3])
    request.raw_input_contents.append(bytes(side * side * 3))
    options = (*CHANNEL, ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(gateway.grpc_address, options=options) as channel:
        try:
            answer = v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=SECONDS)
        except grpc.RpcError as error:
            return str(error.code().name)
    assert answer.raw_output_contents[0] == request.raw_input_contents[0]
    return "OK"


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.05)


def is_last_line_of(access_log: Path, moment: float) -> bool:
    """Whether the last line was written at this time, or within half an hour of it."""
    *_, last = ["", *access_log.read_text().splitlines()]
    written = json.loads(last)["time"] if last else "1970-01-01T00:00:00Z"
    return abs(datetime.datetime.fromisoformat(written).timestamp() - moment) < HOUR / 2


def test_a_start_with_too_little_shared_memory_says_how_much_it_needs(repository: Path) -> None:
    with (
        pytest.raises(NoRoom, match=r"1 processes of the models need 1 MiB .*--shm-size"),
        GatewayServer(repository, prefix=mounted({SHARED_MEMORY: 512 << 10})),
    ):
        pass


def test_without_shared_memory_what_needs_more_is_refused_and_later_answered(gateway: GatewayServer) -> None:
    triton = gateway.triton_pid
    assert send(gateway, SMALL) == "OK"
    with Filler(seen_by(gateway.pid, SHARED_MEMORY)):
        assert send(gateway, LARGE) == "RESOURCE_EXHAUSTED"
        assert send(gateway, SMALL) == "OK"
    assert send(gateway, LARGE) == "OK"
    assert gateway.triton_pid == triton
    assert gateway.log_tail.count(f"the shared memory {SHARED_MEMORY} is full") == 1


@pytest.mark.heavy
def test_a_full_disk_costs_lines_and_delays_a_repair(gateway: GatewayServer, disk: Path) -> None:
    place = seen_by(gateway.pid, disk)
    triton = gateway.triton_pid
    with Filler(place):
        lines = len((place / "access").read_text().splitlines())
        for _ in range(3):
            send(gateway, SMALL)
        os.kill(model_processes(triton)["echo"][0], signal.SIGKILL)
        until(lambda: "sockets can't be made" in gateway.log_tail)
        assert send(gateway, SMALL) == "UNAVAILABLE"
    until(lambda: gateway.triton_pid not in (0, triton) and is_ready(gateway))
    until(lambda: (place / "ready").is_file())
    assert (place / "ready").read_text() == f"{gateway.grpc_address}\n"
    assert send(gateway, SMALL) == "OK"
    until(lambda: len((place / "access").read_text().splitlines()) > lines)


@pytest.mark.heavy
def test_descriptors_in_use_keep_connections_waiting(gateway: GatewayServer) -> None:
    pid = gateway.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    host, _, port = gateway.grpc_address.rpartition(":")
    with contextlib.ExitStack() as held:
        held.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, before)
        for _ in range(highest):
            held.enter_context(socket.create_connection((host, int(port)), timeout=SECONDS))
        until(lambda: "file descriptors" in gateway.log_tail)
    until(lambda: is_ready(gateway))
    assert send(gateway, SMALL) == "OK"
    assert gateway.pid == pid


@pytest.mark.heavy
@pytest.mark.skipif(shifted_clock() is None, reason=NO_COMPILER)
def test_a_clock_that_jumps_shows_in_the_log_alone(gateway: GatewayServer, disk: Path) -> None:
    clock = shifted_clock()
    assert isinstance(clock, ShiftedClock)
    access = seen_by(gateway.pid, disk) / "access"
    for jump in (3 * HOUR, -6 * HOUR, 0.0):
        clock.shift(jump)
        shifted = time.time() + jump
        assert send(gateway, SMALL) == "OK"
        until(functools.partial(is_last_line_of, access, shifted))
    assert is_ready(gateway)
