"""What runs out is named, is never the request's fault, and is back as soon as there is some again."""

import asyncio
import contextlib
import errno
import io
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import grpc
import pytest

from deploy.embedded import CannotStart, NoRoom
from deploy.embedded.host_check import SharedMemory, check_room, model_process_count
from deploy.embedded.server_log import ServerLog
from deploy.gateway.backends import loss, repair
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.shortage import Shortage
from deploy.gateway.descriptors import most_connections
from deploy.gateway.listener import Listener, bound_sockets
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.operation.process_settings import DescriptorWatch
from deploy.gateway.refusals import no_shared_memory

FULL = (
    "face_engine did not answer: Failed to increase the shared memory pool size for key 'qface_1_2_3' to "
    "1048576 bytes. If you are running Triton inside docker, use '--shm-size' flag to control the shared "
    "memory region size. Error: No space left on device"
)


def models_of(folder: Path, **configs: str) -> Path:
    for name, text in configs.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(text)
    return folder


def test_shared_memory_is_counted_by_processes_and_a_start_without_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = models_of(
        tmp_path,
        one='backend: "python"',
        three='backend: "python" instance_group { count: 3 kind: KIND_CPU }',
        ensemble='platform: "ensemble"',
    )
    (models / "three" / "configs").mkdir()
    (models / "three" / "configs" / "cpu.pbtxt").write_text('backend: "python" instance_group { count: 2 }')
    assert model_process_count(models, config_name="cpu") == 3
    assert model_process_count(models, config_name="gpu") == 4
    monkeypatch.setattr(SharedMemory, "now", lambda _folder: SharedMemory(size=64 << 20, free=2 << 20))
    with pytest.raises(CannotStart, match=r"2 of 64 MiB are free, and the 3 processes .* need 3 MiB"):
        check_room(models, config_name="cpu")
    monkeypatch.setattr(SharedMemory, "now", lambda _folder: SharedMemory(size=64 << 20, free=3 << 20))
    check_room(models, config_name="cpu")
    monkeypatch.setattr(SharedMemory, "now", lambda _folder: SharedMemory(size=0, free=0))  # without a bound
    check_room(models, config_name="cpu")


def test_a_machine_without_shared_memory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    models = models_of(tmp_path / "models", one='backend: "python"')
    with pytest.raises(CannotStart, match="mount one"):
        check_room(models, config_name="cpu", folder=tmp_path / "nothing")


def test_full_shared_memory_is_the_server_s_lack_and_no_death() -> None:
    assert loss.lacks_shared_memory(FULL)
    assert not loss.names_a_death(grpc.StatusCode.INTERNAL, FULL)
    assert not loss.lacks_shared_memory(f"[request id: {FULL}] ValueError: no face")
    refusal = no_shared_memory()
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.retry_after is not None
    assert "qface_" not in refusal.sentence


def test_full_shared_memory_is_logged_once_a_minute() -> None:
    events: list[tuple[str, str]] = []
    now = 100.0
    shortage = Shortage(lambda kind, sentence: events.append((kind, sentence)), clock=lambda: now)
    sentences = {shortage.found("echo") for _ in range(3)}
    assert sentences == {"echo finds no shared memory: /dev/shm is full"}
    now += 61
    shortage.found()
    assert [kind for kind, _ in events] == ["shared_memory_full"] * 2
    assert "--shm-size" in events[0][1]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """A limit just above what this process has open, for a moment."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def use_up() -> list[int]:
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    return held


@pytest.mark.usefixtures("few_descriptors")
def test_a_listener_waits_for_descriptors_and_says_so_once() -> None:
    sentences: list[str] = []

    class Greeting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"hello")
            transport.close()

    async def test() -> None:
        sockets = await bound_sockets("127.0.0.1", 0)
        address = sockets[0].getsockname()
        listener = Listener(sockets, Greeting, name="the door", backlog=8, log=sentences.append)
        with socket.socket() as caller:
            caller.setblocking(False)
            held = use_up()
            await asyncio.get_running_loop().sock_connect(caller, address)
            await asyncio.sleep(0.7)  # more than one try
            for descriptor in held:
                os.close(descriptor)
            assert await asyncio.get_running_loop().sock_recv(caller, 5) == b"hello"
        listener.close()

    asyncio.run(asyncio.wait_for(test(), timeout=20))
    assert len(sentences) == 1
    assert "the door accepts no connections" in sentences[0]


@pytest.mark.usefixtures("few_descriptors")
def test_used_up_descriptors_are_named_and_some_are_never_for_connections() -> None:
    sentences: list[str] = []
    watch = DescriptorWatch(sentences.append)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most_connections() <= limit * 3 // 4 + 1
    held = use_up()
    watch.look()
    watch.look()
    for descriptor in held:
        os.close(descriptor)
    assert len(sentences) == 1
    assert "file descriptors" in sentences[0]


class SmallDisk(io.StringIO):
    """What is written into while there is room."""

    has_room = True

    def write(self, text: str) -> int:
        if not self.has_room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_goes_on_when_its_disk_has_room_again_and_counts_what_it_lost() -> None:
    disk = SmallDisk()
    log = ServerLog(disk, prefix="triton 1 | ")
    for has_room in (True, False, False, True, True):
        disk.has_room = has_room
        log.read([f"room: {has_room}"])
    assert disk.getvalue().splitlines() == [
        "triton 1 | room: True",
        "triton 1 | (2 lines found no room on the disk)",
        "triton 1 | room: True",
        "triton 1 | room: True",
    ]
    assert log.tail.count("room: False") == 2


def test_an_access_log_that_can_t_be_written_is_named_once() -> None:
    sentences: list[str] = []
    log = AccessLog("/dev/full", log=sentences.append)
    for _ in range(2):
        log.write(model="echo", outcome="answered", code="OK")
        while log.lost < len(sentences) or not sentences:
            time.sleep(0.01)
    log.close()
    assert log.lost == 2
    assert len(sentences) == 1
    assert "/dev/full can't be written (No space left on device)" in sentences[0]


def test_a_repair_that_lacks_room_tries_often_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_FIRST_DELAY", 0.001)
    monkeypatch.setattr(repair, "_RARELY", 1000.0)
    monkeypatch.setattr(repair, "_NO_ROOM_SECONDS", 0.001)
    lacks = [NoRoom("the shared memory is too full")] * 9
    events: list[str] = []

    async def start() -> Backend:
        if lacks:
            raise lacks.pop()
        return cast(Backend, SimpleNamespace(generation=2))

    async def test() -> None:
        installed = asyncio.Event()
        mending = repair.Repair(
            start=start,
            install=lambda _backend: installed.set(),
            on_event=lambda kind, _sentence: events.append(kind),
            on_trouble=lambda: None,
        )
        mending.begin("it was killed")
        await asyncio.wait_for(installed.wait(), timeout=20)
        await mending.cancel()

    asyncio.run(test())
    assert events == ["repair_failed", "repaired"]
