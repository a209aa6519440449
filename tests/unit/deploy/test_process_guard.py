"""The server's parent leaves nothing of it: neither what is in shared memory, nor files for others."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import process_guard


@pytest.fixture
def prefix() -> Iterator[str]:
    name = f"qface_test_{os.getpid()}_{uuid.uuid4().hex[:8]}_"
    yield name
    for path in process_guard.SHARED_MEMORY.glob(f"{name}*"):
        path.unlink()


def test_removed_memory_is_zeros_for_who_has_it_open(prefix: str, tmp_path: Path) -> None:
    region = process_guard.SHARED_MEMORY / f"{prefix}region"
    with region.open("w+b") as file:
        file.truncate(5 << 20)
        for at in (0, 1 << 20, (5 << 20) - 7):
            file.seek(at)
            file.write(b"picture")
        file.flush()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text("kept")
        (process_guard.SHARED_MEMORY / f"{prefix}link").symlink_to(elsewhere)
        process_guard.remove_shared_memory(prefix)
        file.seek(0)
        content = file.read()
    assert len(content) == 5 << 20
    assert not any(content)
    assert not list(process_guard.SHARED_MEMORY.glob(f"{prefix}*"))
    assert elsewhere.read_text() == "kept"


def test_memory_is_restricted_to_this_user(prefix: str) -> None:
    region = process_guard.SHARED_MEMORY / f"{prefix}region"
    region.touch(mode=0o644)
    process_guard.restrict_shared_memory(prefix)
    assert region.stat().st_mode & 0o777 == 0o600


def test_what_it_starts_writes_for_this_user_only_and_dumps_no_core(prefix: str, tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    program = (
        "import os, pathlib, resource, sys\n"
        f"pathlib.Path({str(sockets / 'socket')!r}).touch()\n"
        "core, _ = resource.getrlimit(resource.RLIMIT_CORE)\n"
        "print(oct(os.umask(0)), core <= 1, os.nice(0), file=sys.stderr)"
    )
    reading, writing = os.pipe()  # held open: its end is the launcher's
    try:
        done = subprocess.run(
            [
                *(sys.executable, process_guard.__file__, "1", "3", prefix, str(sockets)),
                *(sys.executable, "-c", program),
            ],
            stdin=reading,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        os.close(reading)
        os.close(writing)
    umask, no_core, niceness = done.stderr.split()
    assert umask == "0o77"
    assert no_core == "True"
    assert int(niceness) == min(os.nice(0) + 3, 19)
    assert not sockets.exists()


def test_a_program_that_can_not_be_run_is_named_in_one_line(prefix: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF for another machine")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, process_guard.__file__, "1", "0", prefix, str(tmp_path / "sockets"), str(program)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"{program} can't be run here (Exec format error)\n"
