"""One label of K. Head: probabilities FP32 [B, K] that sum to 1.

Answer of a task T: T_probabilities FP32 [B, K], and T_label BYTES [B, 1], the most probable label.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry, text_tensor


class Classes(Kind):
    name = "classes"
    states_probabilities = True
    low_precision_tolerance = 0.02  # of a probability

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(count,))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (
            AnswerTensor(name=f"{entry.name}_probabilities", datatype="FP32", dims=(len(entry.labels),)),
            AnswerTensor(name=f"{entry.name}_label", datatype="BYTES", dims=(1,)),
        )

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        labels = _label_tensor(entry.labels)[head.argmax(axis=-1)]
        return {f"{entry.name}_probabilities": head, f"{entry.name}_label": labels}


@functools.cache
def _label_tensor(labels: tuple[str, ...]) -> NDArray[np.object_]:
    """All labels of a task as BYTES [K, 1]."""
    return text_tensor(labels)


KIND = Classes()
