"""Where in a recording each request's outcomes lie."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .._exchange.steps import Infer, Reply
from .._exchange.unreadable import DAMAGE
from ..contract import ModelInfo
from ..errors import InvalidInput, QFaceError
from .lines import FORMAT, VERSION, outcome_from_json, request_to_json

T = TypeVar("T")
Outcome = ModelInfo | Reply | QFaceError


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A line of the file: what its request wanted of its inputs, and where the line lies."""

    outputs: frozenset[str]
    parameters: str  # as JSON with sorted keys
    priority: int | None
    failed: bool  # whether an error is its outcome
    offset: int


class Index:
    """The outcomes in a recording's file, which stays there: only their places are kept. Thread-safe."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads the file once. InvalidInput where it is no recording."""
        self.path = Path(path)
        self._entries: dict[tuple[str, str], list[Entry]] = {}  # by model and digest of the inputs
        self._models: dict[str, list[int]] = {}
        self._outputs: dict[str, set[str]] = {}
        self._sets: dict[frozenset[str], frozenset[str]] = {}  # many requests want the same outputs
        self._used: dict[tuple[int, ...], int] = {}  # by the places of a request's outcomes
        self._lock = threading.Lock()
        try:
            with contextlib.ExitStack() as opened:
                self._file = opened.enter_context(self.path.open("rb"))
                self._read()
                opened.pop_all()
        except OSError as error:
            raise InvalidInput(self._missing(error)) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def models(self, name: str) -> list[int]:
        """The places of what was read of a model."""
        return self._models.get(name, [])

    def outputs_of(self, model: str) -> frozenset[str]:
        """All outputs that were requested of a model."""
        return frozenset(self._outputs.get(model, ()))

    def entries(self, step: Infer) -> list[Entry]:
        """What was recorded of the same inputs, in order, whatever was wanted of them."""
        form = request_to_json(step)
        return self._entries.get((step.model, _digest(form["inputs"])), [])

    def recorded_requests(self, model: str) -> int:
        """How many different inputs were sent to a model."""
        return sum(name == model for name, _ in self._entries)

    def next_of(self, offsets: Sequence[int]) -> Outcome:
        """The next of a request's outcomes; when all were given, the last one again."""
        with self._lock:
            key = tuple(offsets)
            number = self._used.get(key, 0)
            self._used[key] = min(number + 1, len(key) - 1)
            line = self._line_at(key[number])
        return self._understood(outcome_from_json, line)

    def last_model(self, name: str) -> ModelInfo | None:
        """A model as it was last read; None: it never was."""
        for offset in reversed(self.models(name)):
            with self._lock:
                line = self._line_at(offset)
            outcome = self._understood(outcome_from_json, line)
            if isinstance(outcome, ModelInfo):
                return outcome
        return None

    # -- within -------------------------------------------------------------------------------------

    def _read(self) -> None:
        header = self._understood(_check_header, self._parsed(self._file.readline()))
        if header > VERSION:
            raise InvalidInput(
                f"{self.path} is a recording of version {header}, and this qface-client reads up to "
                f"{VERSION}: upgrade qface-client, or record it again"
            )
        offset = self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # the run was killed while it wrote this one
            self._understood(functools.partial(self._add, offset), self._parsed(line))
            offset += len(line)

    def _add(self, offset: int, form: Mapping[str, Any]) -> None:
        model = sys.intern(form["model"])
        if form["call"] == "model":
            self._models.setdefault(model, []).append(offset)
            return
        entry = Entry(
            outputs=self._kept(frozenset(form["outputs"])),
            parameters=sys.intern(parameters_text(form["parameters"])),
            priority=form.get("priority"),
            failed="error" in form,
            offset=offset,
        )
        self._outputs.setdefault(model, set()).update(entry.outputs)
        self._entries.setdefault((model, _digest(form["inputs"])), []).append(entry)

    def _kept(self, outputs: frozenset[str]) -> frozenset[str]:
        return self._sets.setdefault(outputs, outputs)

    def _line_at(self, offset: int) -> Mapping[str, Any]:
        if self._file.closed:
            raise InvalidInput(f"the recording {self.path} is closed: make a new Replayed")
        self._file.seek(offset)
        return self._parsed(self._file.readline())

    def _parsed(self, line: bytes) -> Mapping[str, Any]:
        def parse(text: bytes) -> Mapping[str, Any]:
            form = json.loads(text)
            if not isinstance(form, Mapping):
                raise TypeError("a line is no object")
            return form

        return self._understood(parse, line)

    def _understood(self, read: Callable[[Any], T], form: Any) -> T:
        try:
            return read(form)
        except DAMAGE as error:
            raise InvalidInput(
                f"{self.path} is no recording of a FaceClient, or was damaged "
                f"({type(error).__name__}: {error}): record it again with FaceClient(url, record=...)"
            ) from error

    def _missing(self, error: OSError) -> str:
        parts = sorted(self.path.parent.glob(f"{self.path.name}.*.part"))
        kept = f" ({parts[-1]} has what a run wrote that did not end)" if parts else ""
        return (
            f"the recording {self.path} can't be read ({error.strerror or error}){kept}: "
            "make one with FaceClient(url, record=...)"
        )


def parameters_text(parameters: Mapping[str, int | float]) -> str:
    """Request parameters, so that equal ones are the same text."""
    return json.dumps({name: float(value) for name, value in parameters.items()}, sort_keys=True)


def _check_header(form: Mapping[str, Any]) -> int:
    if form["format"] != FORMAT:
        raise ValueError(f"its format is {form['format']!r}")
    return int(form["version"])


def _digest(inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
