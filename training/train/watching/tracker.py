"""The interface of what a run's course is written to: TensorBoard, MLflow, or one of your own.

A tracker is a module of this package with a subclass of `Tracker`, registered in
training.train.watching.trackers. Its package is imported when a run opens it, and never before.
"""

import abc
import enum
import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

# Among the scalars of every step that is written: by it a tracker finds how far it was written.
ALWAYS_WRITTEN = "learning_rate"


class Outcome(enum.Enum):
    """How this process's part of a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"  # by a signal: the same command goes on
    FAILED = "failed"


class Tracker(abc.ABC):
    """Where a run's course is written, by the leading process alone.

    Any method may raise any exception: training.train.watching.trackers goes on without a tracker that can't
    be written.
    """

    name: ClassVar[str]  # in a run's `trackers`
    packages: ClassVar[tuple[str, ...]]  # top-level modules that it imports
    install: ClassVar[str]  # the command that brings them

    @classmethod
    def missing(cls) -> tuple[str, ...]:
        """Those of its packages that are not installed."""
        return tuple(name for name in cls.packages if importlib.util.find_spec(name) is None)

    @classmethod
    @abc.abstractmethod
    def opened(cls, folder: pathlib.Path, *, settings: Mapping[str, Any], step: int) -> Self:
        """The tracker of the run in `folder`, which stands at `step`, 0 at its beginning.

        `settings` are plain nested data: all that the run is made of. A run that goes on is written where it
        was written before; steps after `step` may have been written by a process that was killed.
        """

    @abc.abstractmethod
    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Numbers of a step, by names whose parts are separated by slashes."""

    @abc.abstractmethod
    def picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        """RGB pixels [H, W, 3]."""

    @abc.abstractmethod
    def document(self, name: str, content: Mapping[str, Any]) -> None:
        """Plain data of the whole run, such as its card. Of one name the last one counts."""

    @abc.abstractmethod
    def close(self, outcome: Outcome) -> None:
        """Everything is written, and the tracker is of no further use."""
