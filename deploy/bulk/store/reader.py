"""Photos read ahead, so that whoever answers them does not wait for a network."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from deploy.bulk.errors import Stopped
from deploy.bulk.photo import Failed, Photo
from deploy.bulk.store.base import NotRead
from deploy.bulk.store.sources import Stores, root_of_photo

THREADS = 8
_AHEAD_PHOTOS = 32
_AHEAD_BYTES = 64 * 1024 * 1024
_UNKNOWN_BYTES = 1024 * 1024  # of a photo whose size is not listed
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0  # seconds


class Reader:
    """Reads photos in threads. One that can't be read is Failed; a store that is gone ends the run."""

    def __init__(self, stores: Stores, *, named: Sequence[str], patience: float) -> None:
        """`named`: the run's sources; `patience`: seconds to wait for a store that can't be reached, or
        does not give a photo; 0: a photo that can't be read fails at once, whatever has become of the store.
        """
        self._stores = stores
        self._named = named
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        self._closed = threading.Event()
        # When the last read began that gave a photo, of all threads: since then the store was there.
        self._given = -math.inf

    def read_ahead(self, photos: Sequence[Photo]) -> Iterator[tuple[Photo, bytes | Failed]]:
        """Each photo with its bytes, in order. Stopped where the store can't be reached for long."""
        left, ahead = deque(photos), deque[tuple[Photo, Future[bytes | Failed]]]()
        held = 0
        try:
            while left or ahead:
                while left and len(ahead) < _AHEAD_PHOTOS and (not ahead or held < _AHEAD_BYTES):
                    photo = left.popleft()
                    held += _weight(photo)
                    ahead.append((photo, self._threads.submit(self._of, photo)))
                photo, reading = ahead.popleft()
                data = reading.result()
                held -= _weight(photo)
                yield photo, data
        finally:
            for _, reading in ahead:
                reading.cancel()

    def close(self) -> None:
        """End the reads; those under way are not waited for."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _of(self, photo: Photo) -> bytes | Failed:
        store = self._stores.of(photo.address)
        began, pause, failed_at = time.monotonic(), _FIRST_PAUSE, math.inf
        while True:
            reading = time.monotonic()
            try:
                data = store.read(photo)
            except NotRead as error:
                failure = error
            else:
                self._given = max(self._given, reading)
                return data
            failed_at = min(failed_at, time.monotonic())
            over = time.monotonic() - began >= self._patience
            # Where a read that began after this one failed gave its photo, the store is there. One that was
            # under way meanwhile shows nothing.
            lost = (
                store.why_unreachable(root_of_photo(photo, self._named))
                if failure.by_store and self._patience and self._given < failed_at
                else None
            )
            if lost is not None and over:
                raise Stopped(
                    f"{lost}: when it is back, the same command goes on (with --patience 0 "
                    "where its photos are gone for good)"
                )
            if lost is None and (over or not failure.may_pass):
                return Failed(cause=failure.cause, reason=failure.reason)
            if self._closed.wait(pause):
                raise Stopped("the run ends")
            pause = min(2 * pause, _LONGEST_PAUSE)


def _weight(photo: Photo) -> int:
    return _UNKNOWN_BYTES if photo.size is None else photo.size
