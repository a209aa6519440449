"""A JSON line a request, whatever becomes of the file."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway.observability import access_log as module
from deploy.gateway.observability.access_log import AccessLog
from tests.helpers.paths import ROOT


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FLUSH_SECONDS", 0.0)


def write(log: AccessLog, **fields: Any) -> None:
    log.write(**{"model": "age", "outcome": "answered", "code": "OK", **fields})


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_request_is_one_json_line_with_all_fields(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    write(
        log,
        id="7f3a",
        client="shop",
        peer="10.1.2.3",
        tasks=("age", "gender"),
        bytes=4096,
        megapixels=2.0736,
        faces=2,
        queue_ms=0.52149,
        triton_ms=41.0,
        total_ms=42.0,
        generation=3,
        trace="0af7651916cd43dd8448eb211c80319c",
    )
    log.close()
    (line,) = read(path)
    assert line.pop("time").endswith("Z")
    assert line == {
        "id": "7f3a",
        "model": "age",
        "client": "shop",
        "peer": "10.1.2.3",
        "tasks": ["age", "gender"],
        "bytes": 4096,
        "megapixels": 2.074,
        "faces": 2,
        "outcome": "answered",
        "code": "OK",
        "reason": "",
        "queue_ms": 0.521,
        "triton_ms": 41.0,
        "total_ms": 42.0,
        "generation": 3,
        "trace": "0af7651916cd43dd8448eb211c80319c",
    }


def test_what_was_never_measured_is_null(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    write(log, outcome="refused", code="RESOURCE_EXHAUSTED", reason="queue_age", total_ms=float("nan"))
    log.close()
    (line,) = read(path)
    assert line["triton_ms"] is None
    assert line["total_ms"] is None
    assert line["generation"] is None


def test_an_id_cannot_forge_a_line_or_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    write(log, id='a\n{"model":"forged"}\r\x1b[31m\u202e\u2028' + "x" * 10_000)
    log.close()
    (line,) = read(path)
    assert line["id"].startswith('a?{"model":"forged"}??[31m??xxx')
    assert len(line["id"]) == module.ID_CHARACTERS
    assert path.read_bytes().isascii()


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    AccessLog(tmp_path / "access.jsonl").close()
    assert (tmp_path / "access.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    for number in range(2):
        log = AccessLog(path)
        write(log, faces=number)
        log.close()
    assert [line["faces"] for line in read(path)] == [0, 1]


def test_lines_are_written_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    write(log)
    wait_until(lambda: log.written == 1)
    assert len(read(path)) == 1
    log.close()


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    write(log, faces=1)
    wait_until(lambda: log.written == 1)
    path.rename(tmp_path / "access.jsonl.1")
    write(log, faces=2)
    wait_until(lambda: log.written == 2)
    log.close()
    assert [line["faces"] for line in read(tmp_path / "access.jsonl.1")] == [1]
    assert [line["faces"] for line in read(path)] == [2]


def test_reopening_takes_the_file_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    log.reopen()
    write(log)
    log.close()
    assert len(read(path)) == 1


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    log = AccessLog("/dev/full")
    for _ in range(3):
        write(log)
    wait_until(lambda: log.lost == 3)
    log.close()
    assert log.written == 0


def test_a_folder_that_has_gone_costs_lines_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(folder / "access.jsonl")
    (folder / "access.jsonl").unlink()
    folder.rmdir()
    write(log, faces=1)
    wait_until(lambda: log.lost == 1)
    folder.mkdir()
    write(log, faces=2)
    wait_until(lambda: log.written == 1)
    log.close()
    assert [line["faces"] for line in read(folder / "access.jsonl")] == [2]


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(tmp_path / "none" / "access.jsonl")


def test_a_line_torn_by_a_full_disk_spoils_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    real, calls = os.write, []

    def full_after_ten_bytes(descriptor: int, block: bytes) -> int:
        calls.append(len(block))
        if len(calls) == 1:
            return real(descriptor, block[:10])
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, block)

    monkeypatch.setattr(os, "write", full_after_ten_bytes)
    write(log, faces=1)
    wait_until(lambda: log.lost == 1)
    write(log, faces=2)
    log.close()
    torn, whole = path.read_text().splitlines()
    assert len(torn) == 10
    assert json.loads(whole)["faces"] == 2


def test_a_stalled_reader_holds_up_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_LINES", 10)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # and it reads nothing
    log = AccessLog(pipe)

    def write_many() -> None:
        for _ in range(20_000):
            write(log, id="x" * 128)

    writer = threading.Thread(target=write_many, daemon=True)
    writer.start()
    writer.join(60)
    assert not writer.is_alive()
    assert log.lost > 0
    os.close(reader)
    log.close()


def test_standard_output_may_close(tmp_path: Path) -> None:
    program = (
        "import time\n"
        "from deploy.gateway.observability.access_log import AccessLog\n"
        "log = AccessLog('-')\n"
        "log.write(model='age', outcome='answered', code='OK')\n"
        "while not log.written: time.sleep(0.01)\n"
        "input()\n"  # the reader has gone by then
        "log.write(model='age', outcome='answered', code='OK')\n"
        "log.close()\n"
        "assert log.lost == 1, log.lost\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["model"] == "age"
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("to_pipe", [True, False])
def test_several_processes_write_whole_lines_to_one_place(tmp_path: Path, to_pipe: bool) -> None:
    path = tmp_path / "log"
    program = (
        "import sys\n"
        "from deploy.gateway.observability.access_log import AccessLog\n"
        f"log = AccessLog({'-' if to_pipe else str(path)!r})\n"
        "for number in range(2000):\n"
        "    log.write(id=sys.argv[1] * 100, model='m', outcome='answered', code='OK')\n"
        "log.close(timeout=60)\n"
    )
    reads, writes = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", program, letter], stdout=writes, cwd=ROOT) for letter in "abc"
    ]
    os.close(writes)
    text = b""
    while piece := os.read(reads, 1000):  # less than a write, so that the pipe is full and writers take turns
        text += piece
        time.sleep(0.0001)
    os.close(reads)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = (text if to_pipe else path.read_bytes()).splitlines()
    assert len(lines) == 6000
    assert {json.loads(line)["id"] for line in lines} == {letter * 100 for letter in "abc"}
