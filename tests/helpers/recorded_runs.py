"""A tracker that keeps what it is given."""

import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.train.watching.tracker import Outcome, Tracker


class Recorder(Tracker):
    """Keeps everything in `runs`, a run an entry. A test that uses it empties that first."""

    name = "recorder"
    packages = ()
    install = "nothing"
    runs: ClassVar[list["Recorder"]] = []

    def __init__(self, settings: Mapping[str, Any], step: int) -> None:
        self.settings, self.begun_at = settings, step
        self.steps: dict[int, dict[str, float]] = {}
        self.pictures: dict[tuple[str, int], NDArray[np.uint8]] = {}
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.outcome: Outcome | None = None

    @classmethod
    def opened(cls, folder: pathlib.Path, *, settings: Mapping[str, Any], step: int) -> Self:
        tracker = cls(settings, step)
        cls.runs.append(tracker)
        return tracker

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        self.steps[step] = dict(values)

    def picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        self.pictures[name, step] = pixels

    def document(self, name: str, content: Mapping[str, Any]) -> None:
        self.documents[name] = content

    def close(self, outcome: Outcome) -> None:
        self.outcome = outcome
