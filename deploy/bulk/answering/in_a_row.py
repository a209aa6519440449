"""Whether a failure is a photo's: many in a row, without an answer between, are of what answers."""

import threading

from deploy.bulk.answering.base import CannotAnswer
from deploy.bulk.photo import Cause, Failed

_MOST = 20


class InARow:
    """Counts the failures since the last answer. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed = 0

    def answered(self) -> None:
        """A photo was answered, or found to be none."""
        with self._lock:
            self._failed = 0

    def failed(self, error: Exception) -> Failed:
        """A failure that other photos need not meet; CannotAnswer where they all did of late."""
        with self._lock:
            self._failed += 1
            failed = self._failed
        if failed >= _MOST:
            raise CannotAnswer(
                f"{failed} photos failed one after the other, the last one so: {error}"
            ) from error
        return Failed(cause=Cause.NOT_ANSWERED, reason=str(error))
