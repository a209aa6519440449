"""What a network promises to answer: its tasks, their labels in order, their units.

The contract travels as JSON: checkpoint metadata -> ONNX metadata -> `parameters` of the served models ->
client. Its hash stands for its meaning: the same tensors mean the same by two contracts of one hash. So
everything in it counts, keys included that were added after this code was written: they are kept as they
are and written again.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

CONTRACT_VERSION = 1
ALIGNED = "aligned"  # the crop of a contract that names none


class InvalidContract(ValueError):
    """A contract that can't be read, is incomplete or contradicts itself; the message names the place."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Record:
    """A JSON object: the keys that are known are fields, the others are in `extra`."""

    # Keys that this code does not know, as they were read. They count in the contract's hash.
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    # The keys in the order in which they were read, so that they are written in that order again.
    key_order: tuple[str, ...] = dataclasses.field(default=(), compare=False, repr=False)

    def _written(
        self, required: Mapping[str, Any], optional: Mapping[str, tuple[Any, Any]]
    ) -> dict[str, Any]:
        """The object as JSON values; `optional` gives values with the one that stands for an absent key."""
        present = {
            key: value
            for key, (value, absent) in optional.items()
            if value != absent or key in self.key_order
        }
        values = {**required, **present, **self.extra}
        ordered = [key for key in self.key_order if key in values]
        return {key: values[key] for key in dict.fromkeys((*ordered, *values))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisiblePoints(_Record):
    """Which point each label of a task is about, where a label states whether a point can be seen."""

    task: str  # the task that answers the points
    indices: tuple[int | None, ...]  # for each label the point's index there; None: there is no such point

    @classmethod
    def parse(cls, data: Any, *, where: str) -> Self:
        """The object under `visible_points`; `where` names the task in messages."""
        fields = _Fields(data, where=f"visible_points of {where}")
        indices = fields.items("indices")
        if not all(index is None or _is_whole(index, at_least=0) for index in indices):
            raise InvalidContract(
                f"indices in visible_points of {where} must be whole numbers from 0 up, or null: {indices}"
            )
        return cls(
            task=fields.text("task"),
            indices=tuple(indices),
            extra=fields.others("task", "indices"),
            key_order=fields.keys,
        )

    def to_json(self) -> dict[str, Any]:
        """The object as JSON values."""
        return self._written({"task": self.task, "indices": list(self.indices)}, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ErrorBounds(_Record):
    """How the expected error of a task's answer, the tensor T_error, is to be read."""

    unit: str  # of the expected error
    # (p, f), both increasing: of the true values the share p lies within f times the expected error of the
    # answer. Measured on faces that the network did not learn.
    within: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        numbers = all(_is_number(number) for pair in self.within for number in pair)
        if (
            not (self.within and numbers)
            or not all(a < b for a, b in itertools.pairwise(self.within))
            or not all(a[1] <= b[1] for a, b in itertools.pairwise(self.within))
        ):
            raise InvalidContract(f"within of an error must be increasing pairs of numbers: {self.within}")
        if not all(0 < share < 1 and factor > 0 for share, factor in self.within):
            raise InvalidContract(
                f"within of an error must be shares in 0..1 and factors above 0: {self.within}"
            )

    @classmethod
    def parse(cls, data: Any, *, where: str) -> Self:
        """The object under `error`; `where` names the task in messages."""
        fields = _Fields(data, where=f"error of {where}")
        pairs = fields.items("within")
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise InvalidContract(f"within in error of {where} must be pairs of numbers: {pairs}")
        return cls(
            unit=fields.text("unit"),
            within=tuple((pair[0], pair[1]) for pair in pairs),
            extra=fields.others("unit", "within"),
            key_order=fields.keys,
        )

    def to_json(self) -> dict[str, Any]:
        """The object as JSON values."""
        return self._written({"unit": self.unit, "within": [list(pair) for pair in self.within]}, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class QualityEntry(_Record):
    """Which answer states the chance that a crop can be analysed at all, and from which chance on it is."""

    task: str  # a multilabel task
    label: str  # its label
    minimum: float  # faces below are left out of a photo's answers where a request says nothing else

    def __post_init__(self) -> None:
        if not (_is_number(self.minimum) and 0 <= self.minimum <= 1):
            raise InvalidContract(f"minimum of quality is {self.minimum!r} instead of a number in 0..1")

    @classmethod
    def parse(cls, data: Any) -> Self:
        """The object under `quality`."""
        fields = _Fields(data, where="quality of the contract")
        return cls(
            task=fields.text("task"),
            label=fields.text("label"),
            minimum=fields.optional("minimum", None),
            extra=fields.others("task", "label", "minimum"),
            key_order=fields.keys,
        )

    def to_json(self) -> dict[str, Any]:
        """The object as JSON values."""
        return self._written({"task": self.task, "label": self.label, "minimum": self.minimum}, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskEntry(_Record):
    """One task of a contract."""

    name: str  # the name of the network's output, and what the names of the answer's tensors begin with
    kind: str  # what an answer is; runtime.kinds has one module for each kind that is known
    labels: tuple[str, ...]  # in the order of the answer's numbers
    unit: str  # of the answer's numbers
    threshold: float | None = None  # the probability from which a label of a multilabel task is active
    visible_points: VisiblePoints | None = None
    served_by_default: bool = True  # False: served only where the task is named
    error: ErrorBounds | None = None  # the network also answers how far it may be off: T_error

    def __post_init__(self) -> None:
        where = f"task {self.name!r} of the contract"
        if not self.labels:
            raise InvalidContract(f"{where} has no labels")
        if len(set(self.labels)) != len(self.labels):
            raise InvalidContract(f"{where} has two labels of one name: {', '.join(self.labels)}")
        if self.threshold is not None and not (_is_number(self.threshold) and 0 <= self.threshold <= 1):
            raise InvalidContract(f"threshold of {where} is {self.threshold!r} instead of a number in 0..1")
        if self.visible_points is not None and len(self.visible_points.indices) != len(self.labels):
            raise InvalidContract(
                f"{where} has {len(self.labels)} labels for {len(self.visible_points.indices)} visible_points"
            )

    @property
    def error_output(self) -> str | None:
        """The network's output, and the served tensor, of the expected error; None: it is not answered."""
        return None if self.error is None else f"{self.name}_error"

    @classmethod
    def parse(cls, data: Any, *, number: int) -> Self:
        """The entry of this number in `tasks`."""
        fields = _Fields(data, where=f"task {number} of the contract")
        fields.where = where = f"task {fields.text('name')!r} of the contract"
        labels = fields.items("labels")
        if not all(isinstance(label, str) and label for label in labels):
            raise InvalidContract(f"labels of {where} must be texts that are not empty: {labels}")
        default = fields.optional("default", True)
        if not isinstance(default, bool):
            raise InvalidContract(f"default of {where} is {default!r} instead of true or false")
        points = fields.optional("visible_points", None)
        error = fields.optional("error", None)
        return cls(
            name=fields.text("name"),
            kind=fields.text("kind"),
            labels=tuple(labels),
            unit=fields.text("unit"),
            threshold=fields.optional("threshold", None),
            visible_points=None if points is None else VisiblePoints.parse(points, where=where),
            served_by_default=default,
            error=None if error is None else ErrorBounds.parse(error, where=where),
            extra=fields.others(
                "name", "kind", "labels", "unit", "threshold", "visible_points", "default", "error"
            ),
            key_order=fields.keys,
        )

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON values."""
        points = None if self.visible_points is None else self.visible_points.to_json()
        error = None if self.error is None else self.error.to_json()
        return self._written(
            {"name": self.name, "kind": self.kind, "labels": list(self.labels), "unit": self.unit},
            {
                "threshold": (self.threshold, None),
                "visible_points": (points, None),
                "default": (self.served_by_default, True),
                "error": (error, None),
            },
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contract(_Record):
    """What a network, or the part of it that is served, answers."""

    version: int
    input_size: int  # side in pixels of the square crop that the network sees
    tasks: tuple[TaskEntry, ...]
    crop: str = ALIGNED  # how a face is cut out of its photo: a name in runtime.image.crops.CROPS
    quality: QualityEntry | None = None  # None: the network does not state it

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.tasks):
            raise InvalidContract(f"the contract names a task twice: {', '.join(self.names)}")
        for name in {entry.error_output for entry in self.tasks} & set(self.names):
            raise InvalidContract(f"the name {name!r} is that of a task and of another's error: rename it")
        quality = self.quality
        if quality is not None and not any(
            entry.name == quality.task and quality.label in entry.labels for entry in self.tasks
        ):
            raise InvalidContract(
                f"quality of the contract is label {quality.label!r} of task {quality.task!r}, "
                "which the contract does not have"
            )

    @functools.cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over everything in the contract that gives an answer its meaning."""
        return _hash_of(self._content())

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return tuple(entry.name for entry in self.tasks)

    def entry(self, name: str) -> TaskEntry:
        """The task of this name; ValueError names those there are."""
        for entry in self.tasks:
            if entry.name == name:
                return entry
        raise ValueError(f"the contract has no task {name!r}: choose from {', '.join(self.names)}")

    def select(self, names: Sequence[str] | None) -> Self:
        """The contract for these tasks only, in its own order; None: for those served by default.

        Raises ValueError for a task that is not in the contract, and where no task is left.
        """
        known = self.names
        if names is None:
            names = [entry.name for entry in self.tasks if entry.served_by_default]
        missing = [name for name in names if name not in known]
        if missing:
            raise ValueError(
                f"the weights do not answer {', '.join(missing)}: choose from {', '.join(known)}"
            )
        if not names:
            raise ValueError(f"no task is named: choose from {', '.join(known)}")
        quality = self.quality if self.quality is not None and self.quality.task in names else None
        tasks = tuple(entry for entry in self.tasks if entry.name in names)
        return dataclasses.replace(self, tasks=tasks, quality=quality)

    @classmethod
    def parse(cls, data: str | bytes | Mapping[str, Any]) -> Self:
        """A contract from its JSON, as text or as the object that the text holds.

        Raises InvalidContract, with a sentence that names what is wrong and where: for text that is not
        JSON, a missing key, a value of another type, a version that is newer than this code, and a
        contract that does not match the hash that it states. Whether a kind or a crop is known is checked
        where it is used (runtime.kinds, runtime.image.crops).
        """
        if isinstance(data, str | bytes):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise InvalidContract(f"the contract is not JSON ({error})") from None
        fields = _Fields(data, where="the contract")
        version = fields.whole("version")
        quality = fields.optional("quality", None)
        if version > CONTRACT_VERSION:
            raise InvalidContract(
                f"the contract has version {version}, and {CONTRACT_VERSION} is the newest that can be read: "
                "upgrade to the release that wrote it"
            )
        contract = cls(
            version=version,
            input_size=fields.whole("input_size"),
            tasks=tuple(TaskEntry.parse(entry, number=i) for i, entry in enumerate(fields.items("tasks"))),
            crop=fields.text("crop", absent=ALIGNED),
            quality=None if quality is None else QualityEntry.parse(quality),
            extra=fields.others("version", "input_size", "tasks", "crop", "quality", "hash"),
            key_order=fields.keys,
        )
        stated = fields.text("hash")
        if stated != contract.hash:
            raise InvalidContract(
                f"the contract does not match its own hash {stated}: it was changed after it was written"
            )
        return contract

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON values, its hash with it."""
        content = self._content()
        return self._written(content | {"hash": _hash_of(content)}, {})

    def to_text(self) -> str:
        """The contract as JSON without blanks, as it stands in a served model's configuration."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    def _content(self) -> dict[str, Any]:
        """Everything but the hash."""
        return self._written(
            {
                "version": self.version,
                "input_size": self.input_size,
                "tasks": [entry.to_json() for entry in self.tasks],
            },
            {
                "crop": (self.crop, ALIGNED),
                "quality": (None if self.quality is None else self.quality.to_json(), None),
            },
        )


def _hash_of(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, *, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


class _Fields:
    """The values of a JSON object by their keys, each checked as it is read."""

    def __init__(self, data: Any, *, where: str) -> None:
        if not isinstance(data, Mapping):
            raise InvalidContract(f"{where} is {json.dumps(data)} instead of a JSON object")
        self._data: Mapping[str, Any] = data
        self.where = where  # what the object is, in messages

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._data)

    def others(self, *known: str) -> dict[str, Any]:
        return {key: value for key, value in self._data.items() if key not in known}

    def optional(self, key: str, absent: Any) -> Any:
        return self._data.get(key, absent)

    def text(self, key: str, *, absent: str | None = None) -> str:
        value = self._required(key) if absent is None else self.optional(key, absent)
        if not (isinstance(value, str) and value):
            raise self._wrong(key, value, "a text that is not empty")
        return value

    def whole(self, key: str) -> int:
        """A whole number from 1 up."""
        value: Any = self._required(key)
        if not _is_whole(value, at_least=1):
            raise self._wrong(key, value, "a whole number from 1 up")
        return int(value)

    def items(self, key: str) -> Sequence[Any]:
        value = self._required(key)
        if not isinstance(value, list | tuple):  # a tuple: the contract was never written as JSON
            raise self._wrong(key, value, "a list")
        return value

    def _required(self, key: str) -> Any:
        if key not in self._data:
            raise InvalidContract(f"{self.where} lacks {key!r}")
        return self._data[key]

    def _wrong(self, key: str, value: Any, expected: str) -> InvalidContract:
        return InvalidContract(f"{key} of {self.where} is {value!r} instead of {expected}")
