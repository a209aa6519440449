"""K independent labels. Head: a probability for each, FP32 [B, K].

Answer of a task T: T_probabilities FP32 [B, K], and T_active BOOL [B, K], probability >= the threshold.
"""

from typing import Any

from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry


class MultiLabel(Kind):
    name = "multilabel"
    states_probabilities = True
    low_precision_tolerance = 0.02  # of a probability

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(count,))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        dims = (len(entry.labels),)
        return (
            AnswerTensor(name=f"{entry.name}_probabilities", datatype="FP32", dims=dims),
            AnswerTensor(name=f"{entry.name}_active", datatype="BOOL", dims=dims),
        )

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        return {f"{entry.name}_probabilities": head, f"{entry.name}_active": head >= entry.threshold}

    def check(self, entry: TaskEntry) -> None:
        if entry.threshold is None:
            raise ValueError(f"task {entry.name!r} has no threshold, from which its labels are active")


KIND = MultiLabel()
