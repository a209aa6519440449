"""value: one number in a unit."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._distributions import Chart, Numbers, Tally
from .base import NUMBER, Answer, Column, Kind, Row, Tensors, object_schema, plain, tensor

if TYPE_CHECKING:
    from ..contract import TaskSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Value(Answer):
    """One number; also an attribute by its unit: `face.age.years`."""

    value: float
    unit: str

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name in ("value", "unit"):  # not set yet, while a copy is being made
            raise AttributeError(name)
        if name != self.unit:
            raise AttributeError(
                f"a value in {self.unit} has no {name!r}: it has value, unit and {self.unit}"
            )
        return self.value

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"Value(value={round(self.value, 2)}, unit={self.unit!r})"

    def to_dict(self) -> dict[str, float]:
        return {self.unit: round(self.value, 2)}

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        return [self.value]

    def caption(self, name: str) -> list[Row]:
        return [dataclasses.replace(row, name=plain(name)) for row in self.short_caption()]

    def short_caption(self) -> list[Row]:
        return [Row(name="", text=f"{self.value:.0f} {plain(self.unit)}")]


class Values(Kind):
    """`T_value` FP32 [N, 1]."""

    name = "value"
    tensors = ("value",)

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Value]:
        values = tensor(tensors, f"{task.name}_value", shape=(count, 1))
        return [Value(value=float(value), unit=task.unit) for value in values[:, 0]]

    def parse(self, data: Any, task: "TaskSpec") -> Value:
        return Value(value=float(data[task.unit]), unit=task.unit)

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """The number, in the contract's unit."""
        return [Column(name=task.name, dtype="float32", digits=2)]

    def tally(self, task: "TaskSpec") -> Tally:
        """A histogram of the number."""
        return _Numbers(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return object_schema({task.unit: NUMBER})


class _Numbers(Tally):
    """Keeps the numbers of all faces."""

    def __init__(self, task: "TaskSpec") -> None:
        self._numbers = Numbers(name=plain(task.name), unit=plain(task.unit))

    def add(self, answer: Value) -> None:
        self._numbers.add(answer.value)

    def charts(self) -> Sequence[Chart]:
        return self._numbers.charts()


KIND = Values()
