"""What another load generator is here, and how its program is run."""

import dataclasses
import importlib.metadata
import json
import resource
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from deploy.loadtest.loads import ClosedLoop, Load
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.work.question import Question

LAST_LINES = 4  # of a program that failed, in the sentence about it
OPEN_SHARE = 0.6  # of the rate of a closed loop, which an open loop sends: below it queues stay short
LATENCIES = ("p50", "p90", "p95", "p99")
SPARE_SECONDS = 60.0  # that a program may take to start and to end, beside its load


class ToolError(Exception):
    """A tool is missing, failed, or printed what can't be read; a sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """One load that a tool and we put on alike.

    scenario    what the tool calls it
    questions   what is sent, each as often as the others: all of one kind, which is the name in the report
    protocol    a key of `deploy.loadtest.protocols.doors`
    variant     what we send too, to show what a known difference is worth; of another kind; none: nothing
    """

    scenario: str
    load: Load
    questions: Sequence[Question]
    protocol: str
    variant: Sequence[Question] = ()

    @property
    def kind(self) -> str:
        return self.questions[0].kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What a tool measured of a form in one round.

    rate            answers a second
    percentiles     "p50" ... in seconds; empty where the tool's mean something else
    core_ms         processor time of the tool's own processes, in milliseconds of an answer
    valid           its own verdict, where it has one
    notes           sentences on this measurement
    """

    rate: float
    percentiles: Mapping[str, float]
    command: str
    core_ms: float = 0.0
    valid: str = ""
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What all tools are run with.

    questions   of the mix by their kinds
    outputs     all that each model declares, by model
    batched     whether a model's tensors have the dimension of a batch
    rates       requests a second that a closed loop of a few clients was answered, by kind
    seconds     of each measurement
    slo         seconds that 99 % of the answers are to take at most
    deadline    seconds that a request may take
    """

    questions: Mapping[str, Sequence[Question]]
    outputs: Mapping[str, Sequence[str]]
    batched: Mapping[str, bool]
    rates: Mapping[str, float]
    seconds: float
    slo: float
    deadline: float

    def open_rate(self, kind: str) -> float:
        """Requests a second of an open loop: a share of what the kind bears, in whole requests above one."""
        rate = OPEN_SHARE * self.rates[kind]
        return max(1.0, round(rate)) if rate >= 1 else round(rate, 2)


class Tool(Protocol):
    """Another load generator."""

    def version(self) -> str:
        """Its name and version; ToolError with a sentence where it can't be run here."""

    def forms(self, plan: Plan) -> Sequence[Form]:
        """The loads that it puts on."""

    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        """Runs it once against a target of the form's protocol; ToolError where that fails."""

    def reasons(self, form: Form, plan: Plan) -> Mapping[str, str]:
        """Why a figure of it ("rate", "p50" ...) may differ from ours, where that is known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """What a program that ended well printed, and the processor seconds that it took."""

    printed: str
    errors: str
    core_seconds: float


def run_program(
    words: Sequence[str | Path],
    *,
    name: str,
    seconds: float,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    accepted: Sequence[int] = (0,),
) -> Output:
    """Runs a program that loads for so long; ToolError with its last lines where it fails or does not end.

    folder: where it runs; accepted: the statuses with which it has measured.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=folder,
            env=None if environment is None else dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + SPARE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(
            f"{name} had not ended {SPARE_SECONDS:.0f} s after its load of {seconds:.0f} s: it was killed"
        ) from None
    except OSError as error:
        raise ToolError(f"{name} can't be started: {error}") from None
    if done.returncode not in accepted:
        raise ToolError(f"{name} ended with status {done.returncode}: {last_lines(done.stdout, done.stderr)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Output(
        printed=done.stdout,
        errors=done.stderr,
        core_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def recorded(words: Sequence[str]) -> str:
    """A command line for a report, which is public: of a file's absolute path the last name only."""
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def last_lines(*texts: str) -> str:
    """The last lines of what a program printed, the errors' last, as one line."""
    lines = [line.strip() for text in texts for line in text.splitlines()[-LAST_LINES:]]
    return " | ".join(line for line in lines if line) or "it printed nothing"


def clients_of(load: Load) -> int:
    """Of a closed loop."""
    if not isinstance(load, ClosedLoop):
        raise TypeError(f"{load.name} is no closed loop")
    return load.clients


def installed(package: str) -> str:
    """The version of a package of this environment; ToolError where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise ToolError(f"{package} is not installed here: run this with .venv-loadtest/bin/python") from None


def absolute(path: Path | None) -> str | None:
    """A file as a program that runs elsewhere finds it."""
    return None if path is None else str(path.resolve())


def write_private(options: Mapping[str, Any], file: Path) -> Path:
    """Options as JSON that others can't read: a key may be among them."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(options))
    return file
