"""A step of a build: it runs when its inputs have changed, and leaves all of its results or none.

A step's directory holds its results and step.json, the record of what they were made from and how. It
is filled aside and moved into place whole, so a build that was killed at any moment goes on where it
was: what is in place is done, anything else is swept away and made again.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.files import replace_file, sha256_of_file

RECORD = "step.json"
_UNFINISHED = ".unfinished"

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What is to be done, as data."""

    name: str
    directory: Path  # of its results, and of nothing else
    inputs: Mapping[str, Any]  # JSON; when one of them changes, the step runs again
    command: str  # that repeats it by hand
    run: Callable[[Path], Mapping[str, Any]]  # fills an empty directory and answers its report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """A finished step."""

    directory: Path
    report: Mapping[str, Any]
    ran: bool  # False: everything was up to date


def perform(step: Step, *, say: Say) -> Done:
    """Runs the step unless its results are there, made from the same inputs and unchanged since.

    Raises BuildError as the step does; what lies in its directory then stays, and FAILED.json beside it
    says what went wrong, with the report as far as there is one.
    """
    with only_one(step.directory.parent, say=say):
        return _perform(step, say=say)


def _perform(step: Step, *, say: Say) -> Done:
    known = recorded(step.directory)
    inputs = json.loads(json.dumps(step.inputs))
    failure = step.directory.with_name(f"{step.directory.name}.FAILED.json")
    if known is not None and known["inputs"] == inputs:
        with contextlib.suppress(OSError):  # what another input's build or a kill left
            failure.unlink(missing_ok=True)
        _remove(_old(step.directory))
        say(f"{step.name}: up to date")
        return Done(directory=step.directory, report=known["report"], ran=False)
    say(f"{step.name}: {_why(known, inputs)}")
    began = time.monotonic()
    unfinished = step.directory.with_name(step.directory.name + _UNFINISHED)
    about = {"step": step.name, "command": step.command, "inputs": inputs}
    try:
        _remove(unfinished)
        unfinished.mkdir(parents=True)
        report = step.run(unfinished)
        seconds = round(time.monotonic() - began, 1)
        outputs = {
            str(path.relative_to(unfinished)): sha256_of_file(path)
            for path in sorted(unfinished.rglob("*"))
            if path.is_file()
        }
        record = {
            "status": "done",
            **about,
            "seconds": seconds,
            "outputs": outputs,
            "report": report,
        }
        replace_file(unfinished / RECORD, _json(record))
        _swap(unfinished, step.directory)
        failure.unlink(missing_ok=True)
    except BuildError as error:
        _remove(unfinished)
        said = {"status": "failed", **about, "error": str(error), "report": getattr(error, "report", {})}
        with contextlib.suppress(OSError):
            replace_file(failure, _json(said))
        raise
    except OSError as error:
        _remove(unfinished)
        raise BuildError(
            f"the step {step.name} can't write {error.filename or unfinished} ({error.strerror}): make room "
            "or that place writable, or name another with --output"
        ) from None
    except BaseException:
        _remove(unfinished)
        raise
    say(f"{step.name}: done in {seconds:.1f} s")
    return Done(directory=step.directory, report=json.loads(json.dumps(report)), ran=True)


def recorded(directory: Path) -> dict[str, Any] | None:
    """The record of a finished step whose results are all there and unchanged; else None."""
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text())
        whole = record["status"] == "done" and all(
            sha256_of_file(directory / name) == sha256 for name, sha256 in record["outputs"].items()
        )
        return record if whole and "inputs" in record and "report" in record else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextlib.contextmanager
def only_one(directory: Path, *, say: Say) -> Iterator[None]:
    """One build at a time below a directory; a second one says so and waits."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = (directory / ".lock").open("w")
    except OSError as error:
        raise BuildError(
            f"{directory} can't be written ({error.strerror}): name a writable directory with --output"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another build is at work in {directory}: waiting for it to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def listing(directory: Path) -> str:
    """One sha256 over the names, sizes and times of change of all files below a directory, if it is one."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            about = path.stat()
            digest.update(f"{path.relative_to(directory)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def sha256_of_sources(*paths: Path) -> str:
    """One sha256 over Python files, and those below directories, so that changed code counts as changed."""
    digest = hashlib.sha256()
    for path in paths:
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _why(known: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> str:
    if known is None:
        return "to be made"
    changed = sorted(
        name
        for name in {*known["inputs"], *inputs}
        if known["inputs"].get(name, _UNFINISHED) != inputs.get(name, _UNFINISHED)
    )
    return f"to be made again, because of another {', another '.join(changed)}"


def _swap(new: Path, place: Path) -> None:
    """Moves a directory into place; killed in between, the old one is gone and the step runs again."""
    old = _old(place)
    _remove(old)
    if place.exists():
        place.rename(old)
    new.rename(place)
    _remove(old)


def _old(place: Path) -> Path:
    return place.with_name(f"{place.name}.old")


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
