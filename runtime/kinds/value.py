"""One number in the contract's unit. Head: FP32 [B, 1].

Answer of a task T: T_value FP32 [B, 1].
"""

from typing import Any

from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry
from runtime.kinds.expected_error import ExpectedError


class Value(Kind):
    name = "value"
    low_precision_tolerance = 0.5  # in the task's unit
    error = ExpectedError(low_precision_tolerance=0.5)

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(1,))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (AnswerTensor(name=f"{entry.name}_value", datatype="FP32", dims=(len(entry.labels),)),)

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        return {f"{entry.name}_value": head}

    def unit_text(self, entry: TaskEntry, *, in_units: bool = True) -> str:
        return f" {entry.unit}"


KIND = Value()
