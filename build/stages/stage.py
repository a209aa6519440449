"""A stage of a build: it runs when its inputs have changed, and leaves all of its results or none.

A stage's directory holds its results and step.json, the record of what they were made from and how. The
directory is filled under another name and moved into place whole, so a build that was killed at any moment
continues where it was: what is in place is done, anything else is removed and made again.
"""

import abc
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from build.errors import BuildError
from build.files import replace_file, sha256_of_file
from build.options import to_arguments
from build.stages.fingerprint import code_fingerprint

RECORD = "step.json"
_UNFINISHED = ".unfinished"

Log = Callable[[str], None]
Report = TypeVar("Report", bound=Mapping[str, Any])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage(abc.ABC, Generic[Report]):
    """One stage of a build, as data: its fields are its inputs, and the options of its command."""

    name: ClassVar[str]  # in its record, and in what is logged
    module: ClassVar[str]  # where its code begins, and the command `python -m MODULE` that repeats it

    directory: Path  # of its results, and of nothing else

    @abc.abstractmethod
    def inputs(self) -> Mapping[str, Any]:
        """What decides the results, as JSON; when one of its values changes, the stage runs again."""

    @abc.abstractmethod
    def run(self, place: Path, *, log: Log) -> Report:
        """Fills the empty directory `place` with the results and returns the report, which is JSON."""

    @property
    def title(self) -> str:
        """The name, with what tells this stage from others of the same name."""
        return self.name

    @property
    def registry_modules(self) -> Mapping[str, Collection[str]]:
        """Of which registries of modules only some are used: the package -> those modules."""
        return {}

    def code(self) -> str:
        """The fingerprint of the code that the stage runs."""
        return code_fingerprint(self.module, in_use=self.registry_modules)

    def command(self) -> str:
        """The command that repeats the stage."""
        return f"python -m {self.module} {shlex.join(to_arguments(self))}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done(Generic[Report]):
    """A finished stage."""

    directory: Path
    report: Report
    ran: bool  # False: everything was up to date


def perform(stage: Stage[Report], *, log: Log) -> Done[Report]:
    """Runs the stage unless its directory has results made from the same inputs and unchanged since.

    Raises BuildError as the stage does; what lies in its directory then stays, and FAILED.json beside it
    records what went wrong, with the report as far as there is one.
    """
    inputs = _as_json(stage.inputs())
    with only_one(stage.directory.parent, log=log):
        return _perform(stage, inputs, log=log)


def _perform(stage: Stage[Report], inputs: Mapping[str, Any], *, log: Log) -> Done[Report]:
    known = recorded(stage.directory)
    failure = stage.directory.with_name(f"{stage.directory.name}.FAILED.json")
    if known is not None and known["inputs"] == inputs:
        with contextlib.suppress(OSError):  # what another input's build or a kill left
            failure.unlink(missing_ok=True)
        _remove(_old(stage.directory))
        log(f"{stage.title}: up to date")
        return Done(directory=stage.directory, report=cast(Report, known["report"]), ran=False)
    log(f"{stage.title}: {_why(known, inputs)}")
    began = time.monotonic()
    unfinished = stage.directory.with_name(stage.directory.name + _UNFINISHED)
    about = {"step": stage.title, "command": stage.command(), "inputs": inputs}
    try:
        _remove(unfinished)
        unfinished.mkdir(parents=True)
        report = stage.run(unfinished, log=log)
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
        replace_file(unfinished / RECORD, _to_bytes(record))
        _swap(unfinished, stage.directory)
        failure.unlink(missing_ok=True)
    except BuildError as error:
        _remove(unfinished)
        failed = {"status": "failed", **about, "error": str(error), "report": getattr(error, "report", {})}
        with contextlib.suppress(OSError):
            replace_file(failure, _to_bytes(failed))
        raise
    except OSError as error:
        _remove(unfinished)
        raise BuildError(
            f"the step {stage.title} can't write {error.filename or unfinished} ({error.strerror}): make "
            "room or that place writable, or name another"
        ) from None
    except BaseException:
        _remove(unfinished)
        raise
    log(f"{stage.title}: done in {seconds:.1f} s")
    return Done(directory=stage.directory, report=cast(Report, _as_json(report)), ran=True)


def recorded(directory: Path) -> dict[str, Any] | None:
    """The record of a finished stage whose results are all there and unchanged; else None."""
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text())
        whole = record["status"] == "done" and all(
            sha256_of_file(directory / name) == sha256 for name, sha256 in record["outputs"].items()
        )
        return record if whole and "inputs" in record and "report" in record else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished(Generic[Report]):
    """What an earlier stage left, as input of the next one."""

    directory: Path
    outputs: Mapping[str, str]  # its files' sha256 by their names
    report: Report


def finished(directory: Path, stage: str, report: type[Report]) -> Finished[Report]:
    """What the stage of this name left, with its report's type; BuildError where it is missing."""
    record = recorded(directory)
    if record is None or not str(record.get("step")).startswith(stage):
        raise BuildError(
            f"{directory} does not hold what the step {stage} leaves, or not all of it: run "
            "`python -m build CHECKPOINT` (it makes what is missing)"
        )
    return Finished(directory=directory, outputs=record["outputs"], report=cast(Report, record["report"]))


@contextlib.contextmanager
def only_one(directory: Path, *, log: Log) -> Iterator[None]:
    """One build at a time below a directory; a second one logs that it waits."""
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
            log(f"another build is at work in {directory}: waiting for it to end")
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


def sha256_of_input(path: Path, role: str) -> str:
    """The sha256 of a stage's input file; BuildError names the file's role where it can't be read."""
    try:
        return sha256_of_file(path)
    except FileNotFoundError:
        raise BuildError(f"the {role} {path} does not exist: name one that does") from None
    except OSError as error:
        raise BuildError(f"the {role} {path} can't be read ({error.strerror}): name another") from None


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
    """Moves a directory into place; killed in between, the old one is gone and the stage runs again."""
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


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is read again after it was written as JSON."""
    read: dict[str, Any] = json.loads(json.dumps(content))
    return read


def _to_bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
