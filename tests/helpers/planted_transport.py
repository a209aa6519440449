"""A transport of a client without a server: what a call does is planted by a test."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qface_client.contract import Contract, TaskSpec
from qface_client.transports import Infer, ModelInfo, ReadModel, Reply

CONTRACT = Contract(
    hash="planted",
    input_size=8,
    tasks=(TaskSpec(name="mood", kind="classes", labels=("glad", "sad"), unit="probability"),),
)


def one_face(step: Infer) -> Reply:
    """One face, in any photo; the photo's first byte is its box's left edge."""
    first = float(step.inputs["image"].ravel()[0])
    tensors: dict[str, Any] = {
        "boxes": np.array([[first, 0, 300, 4]], np.float32),
        "scores": np.array([0.9], np.float32),
        "landmarks": np.zeros((1, 5, 2), np.float32),
        "photo_size": np.array([400, 300], np.int32),
        "contract": np.array([CONTRACT.hash.encode()], object),
        "mood_probabilities": np.array([[0.75, 0.25]], np.float32),
        "mood_label": np.array([[b"glad"]], object),
    }
    return Reply(tensors={name: tensors[name] for name in step.outputs})


def first_byte(step: Infer) -> int:
    """By which a test knows the photo of a step."""
    return int(step.inputs["image"].ravel()[0])


class Planted:
    """Answers by `answer`, which may wait, block or raise; counts what is under way."""

    def __init__(self, answer: Callable[[Infer], Reply] = one_face) -> None:
        self.answer = answer
        self.reads = self.infers = self.under_way = self.most_under_way = 0
        self.closed = False
        self.read_error: Exception | None = None
        self._lock = threading.Lock()

    def read_model(self, step: ReadModel) -> ModelInfo:
        self.reads += 1
        if self.read_error is not None:
            raise self.read_error
        return ModelInfo(name=step.model, max_batch_size=0, contract=CONTRACT)

    def infer(self, step: Infer) -> Reply:
        with self._lock:
            self.infers += 1
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return self.answer(step)
        finally:
            with self._lock:
                self.under_way -= 1

    def close(self) -> None:
        self.closed = True


def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for a condition; AssertionError where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)
