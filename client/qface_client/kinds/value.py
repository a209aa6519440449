"""value: one number in a unit."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._distributions import Chart, Numbers, Tally
from ._expected_errors import DRAWN_SHARE, ErrorBounds, factor_of
from .base import NUMBER, SIZE, Answer, Column, Kind, Row, Tensors, object_schema, plain, tensor

if TYPE_CHECKING:
    from ..contract import TaskSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Value(Answer):
    """One number; also an attribute by its unit: `face.age.years`."""

    value: float
    unit: str
    error: float | None = None  # expected, absolute, in the unit; None: the server states none
    bounds: ErrorBounds | None = dataclasses.field(default=None, repr=False)  # how `error` is read

    def interval(self, share: float) -> tuple[float, float] | None:
        """Between which numbers the true one lies in `share` of such answers; None where no error is stated.

        It lies around `value`, whatever numbers the unit makes sense of. ValueError where `share` is not
        between 0 and 1.
        """
        factor = factor_of(self.bounds, share)
        if factor is None or self.error is None:
            return None
        return self.value - factor * self.error, self.value + factor * self.error

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name in _FIELDS:  # not set yet, while a copy is being made
            raise AttributeError(name)
        if name != self.unit:
            raise AttributeError(
                f"a value in {self.unit} has no {name!r}: it has value, unit and {self.unit}"
            )
        return self.value

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        error = "" if self.error is None else f", error={round(self.error, 2)}"
        return f"Value(value={round(self.value, 2)}, unit={self.unit!r}{error})"

    def to_dict(self) -> dict[str, float]:
        return {self.unit: round(self.value, 2)}

    def error_dict(self) -> dict[str, float] | None:
        return None if self.error is None else {self.unit: round(self.error, 2)}

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        return [self.value, self.error] if task.states_error else [self.value]

    def caption(self, name: str) -> list[Row]:
        return [dataclasses.replace(row, name=plain(name)) for row in self.short_caption()]

    def short_caption(self) -> list[Row]:
        """The number, and how far from it four of five true ones lie at most."""
        interval = self.interval(DRAWN_SHARE)
        spread = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.0f}"
        return [Row(name="", text=f"{self.value:.0f}{spread} {plain(self.unit)}")]


_FIELDS = frozenset(field.name for field in dataclasses.fields(Value))


class Values(Kind):
    """`T_value` FP32 [N, 1], and `T_error` [N, 1]: its expected absolute error, in the same unit."""

    name = "value"
    tensors = ("value",)
    has_errors = True

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Value]:
        values = tensor(tensors, f"{task.name}_value", shape=(count, 1))[:, 0].tolist()
        if not task.states_error:
            return [Value(value=value, unit=task.unit) for value in values]
        errors = tensor(tensors, task.error_output, shape=(count, 1))[:, 0].tolist()
        return [
            Value(value=value, unit=task.unit, error=error, bounds=task.error)
            for value, error in zip(values, errors, strict=True)
        ]

    def parse(self, data: Any, task: "TaskSpec") -> Value:
        return Value(value=float(data[task.unit]), unit=task.unit)

    def with_error(self, answer: Value, data: Any, task: "TaskSpec") -> Value:
        return dataclasses.replace(answer, error=float(data[task.unit]), bounds=task.error)

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """The number, in the contract's unit, and its expected error."""
        names = (task.name, f"{task.name}.error") if task.states_error else (task.name,)
        return [Column(name=name, dtype="float32", digits=2) for name in names]

    def tally(self, task: "TaskSpec") -> Tally:
        """A histogram of the number."""
        return _Numbers(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return object_schema({task.unit: NUMBER})

    def error_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return object_schema({task.unit: SIZE})


class _Numbers(Tally):
    """Keeps the numbers of all faces."""

    def __init__(self, task: "TaskSpec") -> None:
        self._numbers = Numbers(name=plain(task.name), unit=plain(task.unit))

    def add(self, answer: Value) -> None:
        self._numbers.add(answer.value)

    def charts(self) -> Sequence[Chart]:
        return self._numbers.charts()


KIND = Values()
