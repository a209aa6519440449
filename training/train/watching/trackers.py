"""The trackers that there are, and those of a run as one."""

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from training.train.watching.mlflow_tracker import Mlflow
from training.train.watching.tensorboard_tracker import TensorBoard
from training.train.watching.tracker import Outcome, Tracker

TRACKERS: dict[str, type[Tracker]] = {tracker.name: tracker for tracker in (TensorBoard, Mlflow)}

_TRIES = 3  # times in a row that a tracker can't be written before it is left out


def check_names(names: Sequence[str]) -> None:
    """ValueError for a tracker that there is not, and one that is named twice."""
    if unknown := [name for name in names if name not in TRACKERS]:
        raise ValueError(
            f"there is no tracker {', '.join(map(repr, unknown))}: choose from {', '.join(TRACKERS)}, or none"
        )
    if len(set(names)) != len(names):
        raise ValueError(f"trackers {', '.join(names)} name one twice: name each once")


def faults(names: Sequence[str]) -> list[str]:
    """A sentence on each of these trackers whose packages are not installed."""
    return [
        f"the tracker {name} needs {', '.join(missing)}, not installed here: "
        f"`{TRACKERS[name].install}` brings it, or leave it out with --set trackers={_without(name, names)}"
        for name in names
        if (missing := TRACKERS[name].missing())
    ]


def open_trackers(
    names: Sequence[str],
    folder: pathlib.Path,
    *,
    settings: Mapping[str, Any],
    step: int,
    log: TextIO | None = None,
) -> "Trackers":
    """The trackers of a run in `folder`, as Tracker.opened. ValueError where one can't be opened."""
    opened: list[Tracker] = []
    for name in names:
        try:
            opened.append(TRACKERS[name].opened(folder, settings=settings, step=step))
        except Exception as error:
            for other in opened:
                other.close(Outcome.FAILED)
            raise ValueError(
                f"the tracker {name} can't be opened ({_short(error)}): "
                f"mend it, or leave it out with --set trackers={_without(name, names)}"
            ) from error
    return Trackers(opened, log=log)


def add_document(
    names: Sequence[str],
    folder: pathlib.Path,
    *,
    settings: Mapping[str, Any],
    step: int,
    document: tuple[str, Mapping[str, Any]],
) -> None:
    """A document, by its name and content, to the trackers of a run that has ended.

    Of a tracker that can't be written a sentence is printed.
    """
    for name in names:
        try:
            trackers = open_trackers([name], folder, settings=settings, step=step)
        except ValueError as error:
            print(error, file=sys.stderr, flush=True)
            continue
        trackers.document(*document)
        trackers.close(Outcome.FINISHED)


class Trackers:
    """Several trackers as one, none of which ends a run.

    What one can't write is lost to it; after some times in a row it is left out. Both is printed once.
    """

    def __init__(self, trackers: Sequence[Tracker], *, log: TextIO | None = None) -> None:
        self._failures = dict.fromkeys(trackers, 0)
        self._log = log

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """As Tracker's."""
        self._each(lambda tracker: tracker.scalars(values, step=step))

    def picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        """As Tracker's."""
        self._each(lambda tracker: tracker.picture(name, pixels, step=step))

    def document(self, name: str, content: Mapping[str, Any]) -> None:
        """As Tracker's."""
        self._each(lambda tracker: tracker.document(name, content))

    def close(self, outcome: Outcome) -> None:
        """As Tracker's."""
        self._each(lambda tracker: tracker.close(outcome))
        self._failures.clear()

    def _each(self, write: Callable[[Tracker], None]) -> None:
        for tracker in list(self._failures):
            try:
                write(tracker)
            except Exception as error:  # of another's package: any
                self._note(tracker, error)
            else:
                self._failures[tracker] = 0

    def _note(self, tracker: Tracker, error: Exception) -> None:
        self._failures[tracker] += 1
        if self._failures[tracker] == 1:
            self._print(f"{tracker.name} can't be written ({_short(error)}): training goes on")
        if self._failures[tracker] == _TRIES:
            del self._failures[tracker]
            self._print(
                f"{tracker.name} could not be written {_TRIES} times in a row and is left out from now"
            )

    def _print(self, sentence: str) -> None:
        print(sentence, file=self._log or sys.stderr, flush=True)


def _short(error: Exception) -> str:
    """The first line of what an error says."""
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


def _without(name: str, names: Sequence[str]) -> str:
    return ",".join(other for other in names if other != name) or "none"
