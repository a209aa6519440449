"""A build step runs when its inputs changed, leaves all of its results or none, and survives being killed."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from build.acceptance.gate import GateError
from build.errors import BuildError
from build.files import ROOT
from build.stages.stage import RECORD, Done, Log, Stage, only_one, perform, recorded


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstStage(Stage[dict[str, Any]]):
    """A stage with any inputs, whose work can be replaced."""

    name: ClassVar[str] = "first"

    values: Mapping[str, Any]
    work: Callable[[Path], dict[str, Any]] | None = None

    def inputs(self) -> Mapping[str, Any]:
        return self.values

    def command(self) -> str:
        return "again"

    def run(self, place: Path, *, log: Log) -> dict[str, Any]:
        if self.work is not None:
            return self.work(place)
        (place / "deep").mkdir()
        (place / "deep" / "result").write_text(json.dumps(self.values))
        return {"answer": 42}


def done(
    directory: Path, inputs: Mapping[str, Any], *, run: Any = None
) -> tuple[Done[dict[str, Any]], list[str]]:
    logged: list[str] = []
    stage = FirstStage(directory=directory, values=inputs, work=run)
    return perform(stage, log=logged.append), logged


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


def test_a_step_runs_once_and_says_that_it_is_up_to_date(tmp_path: Path) -> None:
    first, said = done(tmp_path / "x", {"a": 1})
    assert first.ran
    assert "to be made" in said[0]
    assert "done in" in said[1]
    second, said = done(tmp_path / "x", {"a": 1})
    assert not second.ran
    assert said == ["first: up to date"]
    assert second.report == first.report == {"answer": 42}


def test_the_record_says_what_was_made_from_what_and_how_to_repeat_it(tmp_path: Path) -> None:
    done(tmp_path / "x", {"a": 1})
    record = json.loads((tmp_path / "x" / RECORD).read_text())
    assert record["status"] == "done"
    assert record["inputs"] == {"a": 1}
    assert record["command"] == "again"
    assert list(record["outputs"]) == ["deep/result"]
    assert record["seconds"] >= 0


def test_another_input_makes_it_again_and_is_named(tmp_path: Path) -> None:
    done(tmp_path / "x", {"a": 1, "b": 1})
    again, said = done(tmp_path / "x", {"a": 1, "c": 2})
    assert again.ran
    assert "because of another b, another c" in said[0]
    assert json.loads((tmp_path / "x" / "deep" / "result").read_text()) == {"a": 1, "c": 2}


@pytest.mark.parametrize("damage", ["changed", "missing", "record"])
def test_a_damaged_result_makes_it_again(tmp_path: Path, damage: str) -> None:
    done(tmp_path / "x", {"a": 1})
    result = tmp_path / "x" / "deep" / "result"
    if damage == "changed":
        result.write_text("other")
    elif damage == "missing":
        result.unlink()
    else:
        (tmp_path / "x" / RECORD).write_text("{")
    assert recorded(tmp_path / "x") is None
    again, _ = done(tmp_path / "x", {"a": 1})
    assert again.ran
    assert json.loads(result.read_text()) == {"a": 1}


def test_a_step_that_fails_leaves_the_old_result_and_says_why_beside_it(tmp_path: Path) -> None:
    done(tmp_path / "x", {"a": 1})

    def fail(place: Path) -> dict[str, Any]:
        (place / "half").write_text("half")
        raise GateError("age is 3 years off", report={"age": 3})

    with pytest.raises(GateError, match="3 years off"):
        done(tmp_path / "x", {"a": 2}, run=fail)
    assert recorded(tmp_path / "x") is not None
    assert names_in(tmp_path) == ["x", "x.FAILED.json"]
    failure = json.loads((tmp_path / "x.FAILED.json").read_text())
    assert failure["status"] == "failed"
    assert failure["error"] == "age is 3 years off"
    assert failure["report"] == {"age": 3}
    assert failure["command"] == "again"
    again, _ = done(tmp_path / "x", {"a": 2})
    assert again.ran
    assert names_in(tmp_path) == ["x"]


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    def full(place: Path) -> dict[str, Any]:
        (place / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place / "model.plan"))

    with pytest.raises(
        BuildError, match=r"model\.plan \(No space left on device\): make room .*, or name another$"
    ):
        done(tmp_path / "x", {"a": 1}, run=full)
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob("*unfinished*"))


def test_a_place_that_is_no_directory_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match="--output"), only_one(tmp_path / "file" / "build", log=print):
        pass
    with pytest.raises(BuildError, match="--output"):
        done(tmp_path / "file" / "x", {"a": 1})


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(place: Path) -> dict[str, Any]:
        (place / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        done(tmp_path / "x", {"a": 1}, run=interrupted)
    assert names_in(tmp_path) == []


_KILLED = """
import sys, time
from pathlib import Path
from build.stages.stage import Stage, perform

class Slow(Stage):
    name = "s"
    module = "build.stages.stage"

    def inputs(self):
        return {"a": 2}

    def run(self, place, *, log):
        (place / "result").write_text("half")
        Path(sys.argv[2]).write_text("here")
        time.sleep(60)

perform(Slow(directory=Path(sys.argv[1])), log=lambda line: None)
"""


def test_a_step_that_was_killed_is_made_again_and_its_rest_swept_away(tmp_path: Path) -> None:
    done(tmp_path / "x", {"a": 1})
    sign = tmp_path / "sign"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path / "x"), str(sign)], cwd=ROOT
    )
    try:
        while not sign.exists() and process.poll() is None:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert sign.exists()
    assert json.loads((tmp_path / "x" / "deep" / "result").read_text()) == {"a": 1}
    assert (tmp_path / "x.unfinished" / "result").exists()
    again, _ = done(tmp_path / "x", {"a": 2})
    assert again.ran
    assert not list(tmp_path.glob("*unfinished*"))
    assert json.loads((tmp_path / "x" / "deep" / "result").read_text()) == {"a": 2}
