"""What a server says of itself: its tasks, their labels in order, their units.

The contract is JSON in the parameter `contract` of every model that answers. Its hash comes with every
answer, so that a label is never read by a contract that is not the answer's own.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._version import __version__
from .errors import ContractError, InvalidInput, UnknownKind, UnknownTask
from .kinds import KINDS
from .kinds._expected_errors import ErrorBounds

__all__ = [
    "CONTRACT_VERSION",
    "Contract",
    "ErrorBounds",
    "ModelInfo",
    "QualityRule",
    "TaskSpec",
    "parse_contract",
]

CONTRACT_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One task as the server describes it."""

    name: str
    kind: str  # one of KINDS, or one that is newer than this client
    labels: tuple[str, ...]  # in the order of the answer's tensors
    unit: str  # of the numbers in the answer, as the server calls it
    threshold: float | None = None  # probability from which a label of a multilabel task is active
    # Where each label says whether a point can be seen: the task that answers the points, and for each
    # label the point's index there (None: that task has no such point).
    points_task: str | None = None
    points: tuple[int | None, ...] = ()
    # False: a task that a server has only where who built it named it, and a report only where it is named.
    by_default: bool = True
    # How the expected error of its answers is read; None: the server states none.
    error: ErrorBounds | None = None

    @property
    def readable(self) -> bool:
        """Whether this client knows the task's kind."""
        return self.kind in KINDS

    @functools.cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors that answer this task; UnknownKind if this client can't read it."""
        if not self.readable:
            raise UnknownKind(unknown_kind(self))
        answer = tuple(f"{self.name}_{tensor}" for tensor in KINDS[self.kind].tensors)
        return (*answer, self.error_output) if self.states_error else answer

    @property
    def states_error(self) -> bool:
        """Whether its answers have an expected error that this client reads."""
        return self.error is not None and self.readable and KINDS[self.kind].has_errors

    @property
    def error_output(self) -> str:
        """Name of the tensor of expected errors, and of its part of the JSON."""
        return f"{self.name}_error"


def unknown_kind(task: TaskSpec) -> str:
    """The sentence about a task whose kind this client does not know."""
    return (
        f"task {task.name!r} answers in kind {task.kind!r}, which qface-client {__version__} does not know "
        f"(it knows {', '.join(KINDS)}): upgrade qface-client"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class QualityRule:
    """Which answer states the chance that a face can be judged at all, and what becomes of the others."""

    task: str
    label: str  # of the task, whose probability is a face's quality
    minimum: float  # faces of a photo below it are left out, where a call names no other `min_quality`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contract:
    """All tasks of a server. Two contracts of one hash mean the same by the same tensors."""

    hash: str
    input_size: int  # side in pixels of the square crop that the network sees
    tasks: tuple[TaskSpec, ...]
    crop: str = "aligned"  # how the server cuts a face out: upright by eyes and mouth, or another way
    quality: QualityRule | None = None  # None: the server does not state a face's quality

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names in the server's order."""
        return tuple(task.name for task in self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, which `from_dict` reads; `qface info --json` prints it and more."""
        return {
            "version": CONTRACT_VERSION,
            "contract": self.hash,
            "input_size": self.input_size,
            "crop": self.crop,
            **({} if self.quality is None else {"quality": dataclasses.asdict(self.quality)}),
            "tasks": [_task_data(task) for task in self.tasks],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Contract":
        """The contract of which `to_dict` or `qface info --json` gave this data.

        InvalidInput for other data, ContractError for a version that is newer than this client.
        """
        try:
            return _read(data)
        except _UNREADABLE as error:
            raise InvalidInput(
                f"the data is no contract as to_dict() gives it ({_reason(error)}): save "
                "client.contract().to_dict(), or what `qface info --json` prints"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """`to_dict()` by its older name: plain data, no text."""
        return self.to_dict()

    def select(self, names: Iterable[str] | None) -> tuple[TaskSpec, ...]:
        """The tasks of these names in the server's order; None: all that this client can read.

        Raises UnknownTask for names that the server does not have and UnknownKind for a task that was
        asked for by name and can't be read.
        """
        if names is None:
            return self._readable
        requested = tuple(map(str.strip, names.split(",")) if isinstance(names, str) else names)
        unknown = [name for name in requested if name not in self.names]
        if unknown:
            raise UnknownTask(unknown, available=self.names)
        selected = tuple(task for task in self.tasks if task.name in requested)
        for task in selected:
            if not task.readable:
                raise UnknownKind(unknown_kind(task))
        return selected

    @functools.cached_property
    def _readable(self) -> tuple[TaskSpec, ...]:
        return tuple(task for task in self.tasks if task.readable)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What the client needs of a model's configuration."""

    name: str
    max_batch_size: int  # 0: the model does not batch, its tensors have no leading dimension
    contract: Contract | None  # None: the model does not answer tasks
    # By the name of each network of the repository what the names of its models begin with; empty where
    # the model does not say it.
    networks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    outputs: frozenset[str] = frozenset()  # names of the tensors that it answers
    parameters: tuple[str, ...] = ()  # names of what a request may bring beside its inputs
    # What people whose faces are analysed are to be informed of; "": the server has no such text.
    notice: str = ""
    precision: str = ""  # in which an engine multiplies; "": the model is none, or does not state it


def parse_networks(text: str) -> dict[str, str]:
    """The networks of a repository from their JSON; ContractError says what is wrong with it."""
    try:
        return {str(name): str(prefix) for name, prefix in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise ContractError(f"the server's list of models can't be read ({error}): build it again") from error


def parse_parameters(text: str) -> tuple[str, ...]:
    """The names of a model's request parameters from their JSON; ContractError says what is wrong with it."""
    try:
        return tuple(str(name) for name in json.loads(text))
    except (ValueError, TypeError) as error:
        raise ContractError(
            f"the server's request parameters can't be read ({error}): build it again"
        ) from error


def parse_contract(text: str) -> Contract:
    """A contract from its JSON; ContractError says what is wrong with it. Unknown keys are ignored."""
    try:
        return _read(json.loads(text))
    except _UNREADABLE as error:
        raise ContractError(
            f"the server's contract can't be read ({_reason(error)}): build it again"
        ) from error


# What reading raises of data that is no contract.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, OverflowError)


def _read(data: Mapping[str, Any]) -> Contract:
    version = int(data["version"])
    if version > CONTRACT_VERSION:
        raise ContractError(
            f"the contract has version {version}, and qface-client {__version__} reads up to "
            f"{CONTRACT_VERSION}: upgrade qface-client"
        )
    tasks = tuple(_parse_task(entry) for entry in data["tasks"])
    return Contract(
        hash=str(data["hash"] if "hash" in data else data["contract"]),
        input_size=int(data["input_size"]),
        tasks=tasks,
        crop=str(data.get("crop", "aligned")),
        quality=_parse_quality(data.get("quality"), tasks),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return f"{type(error).__name__}: {error}"


def _task_data(task: TaskSpec) -> dict[str, Any]:
    seen = {"task": task.points_task, "indices": list(task.points)}
    return {
        "name": task.name,
        "kind": task.kind,
        "labels": list(task.labels),
        "unit": task.unit,
        **({} if task.threshold is None else {"threshold": task.threshold}),
        **({} if task.points_task is None else {"visible_points": seen}),
        **({} if task.by_default else {"default": False}),
        **({} if task.error is None else {"error": _error_data(task.error)}),
    }


def _error_data(error: ErrorBounds) -> dict[str, Any]:
    return {"unit": error.unit, "within": [list(pair) for pair in error.within]}


def _parse_task(entry: dict[str, Any]) -> TaskSpec:
    labels = entry["labels"]
    if not isinstance(labels, Sequence) or isinstance(labels, str) or not labels:
        raise ValueError(f"task {entry.get('name')!r} has no list of labels")
    threshold, seen = entry.get("threshold"), entry.get("visible_points")
    points = () if seen is None else tuple(None if i is None else int(i) for i in seen["indices"])
    if seen is not None and len(points) != len(labels):
        raise ValueError(f"task {entry.get('name')!r} has {len(labels)} labels for {len(points)} points")
    return TaskSpec(
        name=str(entry["name"]),
        kind=str(entry["kind"]),
        labels=tuple(str(label) for label in labels),
        unit=str(entry["unit"]),
        threshold=None if threshold is None else float(threshold),
        points_task=None if seen is None else str(seen["task"]),
        points=points,
        by_default=entry.get("default") is not False,
        error=_parse_error(entry.get("error")),
    )


def _parse_error(data: Mapping[str, Any] | None) -> ErrorBounds | None:
    if data is None:
        return None
    pairs = tuple((float(share), float(factor)) for share, factor in data["within"])
    return ErrorBounds(unit=str(data["unit"]), within=pairs)


def _parse_quality(data: Mapping[str, Any] | None, tasks: Sequence[TaskSpec]) -> QualityRule | None:
    if data is None:
        return None
    rule = QualityRule(task=str(data["task"]), label=str(data["label"]), minimum=float(data["minimum"]))
    if not any(task.name == rule.task and rule.label in task.labels for task in tasks):
        raise ValueError(f"its quality is label {rule.label!r} of task {rule.task!r}, which it does not have")
    if not 0 <= rule.minimum <= 1:
        raise ValueError(f"its quality has the minimum {rule.minimum}, which is not in 0..1")
    return rule
