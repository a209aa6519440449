"""A standby is kept where twice the running Triton's memory is available, and taken once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway.backends import standby as module
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.standby import Standby, available_bytes, gpu_shortage
from deploy.host.nvidia_smi import GpuState, NvidiaSmiError
from tests.helpers.fake_tritons import FakeTritons

MEBIBYTE = 1 << 20


@pytest.fixture
def tritons(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTritons]:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.05)
    fake = FakeTritons()
    yield fake
    fake.end()


def meminfo(folder: Path, *, available: int) -> Path:
    (folder / "self").mkdir(parents=True, exist_ok=True)
    (folder / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {available // 1024} kB\n")
    (folder / "self" / "cgroup").write_text("0::/service\n")
    return folder


def test_without_a_limit_the_machine_s_memory_is_available(tmp_path: Path) -> None:
    proc = meminfo(tmp_path / "proc", available=800 * MEBIBYTE)
    assert available_bytes(proc=proc, groups=tmp_path / "groups") == 800 * MEBIBYTE


def test_the_tightest_group_of_control_counts_and_pages_in_no_use_are_left(tmp_path: Path) -> None:
    proc = meminfo(tmp_path / "proc", available=800 * MEBIBYTE)
    groups = tmp_path / "groups"
    (groups / "service").mkdir(parents=True)
    for folder, limit, used in ((groups / "service", "max", 0), (groups, 300 * MEBIBYTE, 250 * MEBIBYTE)):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {20 * MEBIBYTE}\n")
    assert available_bytes(proc=proc, groups=groups) == 70 * MEBIBYTE


def test_a_group_of_the_first_version_counts_too(tmp_path: Path) -> None:
    proc = meminfo(tmp_path / "proc", available=800 * MEBIBYTE)
    (proc / "self" / "cgroup").write_text("4:memory:/service\n2:cpu,cpuacct:/\n")
    group = tmp_path / "groups" / "memory" / "service"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{100 * MEBIBYTE}")
    (group / "memory.usage_in_bytes").write_text(f"{60 * MEBIBYTE}")
    (group / "memory.stat").write_text(f"total_inactive_file {10 * MEBIBYTE}\n")
    assert available_bytes(proc=proc, groups=tmp_path / "groups") == 50 * MEBIBYTE


@pytest.mark.parametrize(
    ("mode", "available", "wanted"),
    [
        ("auto", 200 * MEBIBYTE, True),
        ("auto", 200 * MEBIBYTE - 1, False),
        ("always", 0, True),
        ("never", 1 << 50, False),
    ],
)
def test_auto_takes_twice_the_measured_memory(
    tritons: FakeTritons,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    available: int,
    wanted: bool,
) -> None:
    async def measured(_backend: Backend) -> int:
        return 100 * MEBIBYTE

    monkeypatch.setattr(Backend, "memory", measured)
    events: list[tuple[str, str]] = []

    async def run() -> None:
        active = await tritons.start(tmp_path, niceness=0)
        standby = Standby(
            mode,  # type: ignore[arg-type]
            start=tritons.start,
            active=lambda: active,
            on_event=lambda kind, sentence: events.append((kind, sentence)),
            available=lambda: available,
        )
        assert await standby.allowed(active) is wanted
        await standby.allowed(active)
        await active.stop()

    asyncio.run(run())
    if mode == "auto" and not wanted:  # once, however often it is looked at
        [(kind, sentence)] = events
        assert kind == "standby"
        assert "199 MiB are available, and twice the 100 MiB" in sentence
    else:
        assert not events


def gpu(**changes: Any) -> GpuState:
    values: dict[str, Any] = {
        "index": 0,
        "name": "NVIDIA L4",
        "compute_capability": (8, 9),
        "driver": "580.65.06",
        "total": 23000 * MEBIBYTE,
        "used": 1000 * MEBIBYTE,
        "free": 22000 * MEBIBYTE,
        "divided": False,
        **changes,
    }
    return GpuState(**values)


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ([gpu()], None),
        ([gpu(), gpu(index=1, used=22000 * MEBIBYTE, free=1000 * MEBIBYTE)], "1000 MiB of GPU 1, NVIDIA L4"),
        ([gpu(divided=True)], "divided by MIG"),
        ([gpu(free=None)], "is not known"),
        ([], "no GPU"),
    ],
)
def test_a_second_triton_wants_as_much_of_each_gpu_as_is_in_use(
    gpus: list[GpuState], words: str | None
) -> None:
    found = gpu_shortage(lambda: gpus)
    assert (found is None) is (words is None)
    assert words is None or words in str(found)


def test_gpus_that_cannot_be_read_get_no_standby() -> None:
    def fails() -> list[GpuState]:
        raise NvidiaSmiError("nvidia-smi can't be run (No such file or directory)")

    assert "nvidia-smi can't be run" in str(gpu_shortage(fails))


@pytest.mark.parametrize(("shortage", "wanted"), [(None, True), ("1 MiB of GPU 0 are free", False)])
def test_an_engine_on_a_gpu_asks_its_memory_too(
    tritons: FakeTritons,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shortage: str | None,
    wanted: bool,
) -> None:
    async def measured(_backend: Backend) -> int:
        return 100 * MEBIBYTE

    monkeypatch.setattr(Backend, "memory", measured)
    monkeypatch.setattr(Backend, "on_gpu", property(lambda backend: True))
    events: list[str] = []

    async def run() -> None:
        active = await tritons.start(tmp_path, niceness=0)
        standby = Standby(
            "auto",
            start=tritons.start,
            active=lambda: active,
            on_event=lambda kind, sentence: events.append(sentence),
            available=lambda: 1 << 50,
            shortage=lambda: shortage,
        )
        assert await standby.allowed(active) is wanted
        await active.stop()

    asyncio.run(run())
    assert events == ([] if wanted else [f"no standby: {shortage}"])


def test_a_standby_that_does_not_start_is_tried_again_and_taken_once(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    tritons.failures = ["no memory left"]
    events: list[str] = []

    async def run() -> None:
        active = await FakeTritons.start(tritons_of_the_active, tmp_path, niceness=0)
        standby = Standby(
            "always",
            start=tritons.start,
            active=lambda: active,
            on_event=lambda kind, sentence: events.append(sentence),
        )
        standby.keep()
        while standby.backend is None:
            await asyncio.sleep(0.01)
        assert standby.take(tmp_path / "another repository") is None
        taken = standby.take(tmp_path)
        assert taken is not None
        assert standby.take(tmp_path) is None
        await standby.drop()
        await taken.stop()
        await active.stop()

    tritons_of_the_active = FakeTritons()
    asyncio.run(run())
    assert events[0] == "the standby did not start: no memory left"
    assert events[1].startswith("a standby is ready")


def test_a_standby_is_tried_again_whatever_its_start_failed_of(tritons: FakeTritons, tmp_path: Path) -> None:
    errors: list[Exception] = [OSError(28, "No space left on device")]

    async def start(repository: Path, *, niceness: int) -> Backend:
        if errors:
            raise errors.pop()
        return await tritons.start(repository, niceness=niceness)

    async def run() -> None:
        active = await tritons.start(tmp_path, niceness=0)
        standby = Standby("always", start=start, active=lambda: active, on_event=lambda kind, sentence: None)
        standby.keep()
        while standby.backend is None:
            await asyncio.sleep(0.01)
        await standby.drop()
        await active.stop()

    asyncio.run(asyncio.wait_for(run(), timeout=30))


def test_a_standby_is_looked_after_though_the_memory_could_not_be_read(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    amounts: list[int] = []

    def available() -> int:
        amounts.append(0)
        if len(amounts) == 1:
            raise OSError(24, "Too many open files")
        return 1 << 60

    async def run() -> None:
        active = await tritons.start(tmp_path, niceness=0)
        standby = Standby(
            "auto",
            start=tritons.start,
            active=lambda: active,
            on_event=lambda kind, sentence: None,
            available=available,
        )
        standby.keep()
        while standby.backend is None:
            await asyncio.sleep(0.01)
        await standby.drop()
        await active.stop()

    asyncio.run(asyncio.wait_for(run(), timeout=30))


def test_a_standby_with_a_dead_process_is_not_taken(tritons: FakeTritons, tmp_path: Path) -> None:
    async def run() -> None:
        standby = Standby(
            "always", start=tritons.start, active=lambda: active, on_event=lambda kind, sentence: None
        )
        active = await tritons.start(tmp_path, niceness=0)
        standby.keep()
        while standby.backend is None:
            await asyncio.sleep(0.01)
        child = tritons.servers[2].children[1]
        child.kill()
        child.wait()
        assert standby.take(tmp_path) is None
        await standby.drop()
        await active.stop()

    asyncio.run(run())
