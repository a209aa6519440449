"""The face detector, for several threads at a time."""

import queue
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray


class Detectors:
    """Up to `most` detectors of one thread each, loaded as calls meet.

    As the instances of a server's model: each computes on a core of its own, and one alone costs the least
    processor time. `load` gives one.
    """

    def __init__(self, load: Callable[[], Any], *, most: int) -> None:
        self._load = load
        # The one that was used last is taken first: its memory is in the caches.
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(most):
            self._free.put(None)  # not loaded yet

    def infer(self, canvases: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What `DetectorEngine.infer` gives; waits for a detector that no other call uses."""
        detector = self._free.get()
        try:
            if detector is None:
                detector = self._load()
            answer: dict[str, NDArray[Any]] = detector.infer(canvases)
            return answer
        finally:
            self._free.put(detector)
