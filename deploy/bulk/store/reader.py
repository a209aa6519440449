"""Photos read ahead, so that whoever answers them does not wait for a network."""

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
_TRIES = 4  # of one photo, where the store is there
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0  # seconds


class Reader:
    """Reads photos in threads. One that can't be read is Failed; a store that is gone ends the run."""

    def __init__(self, stores: Stores, *, named: Sequence[str], patience: float) -> None:
        """`named`: the run's sources; `patience`: seconds to wait for a store that can't be reached."""
        self._stores = stores
        self._named = named
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        self._read = 0  # photos, of all threads: whether the store gives any

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
        """Reads under way are waited for."""
        self._threads.shutdown(cancel_futures=True)

    def _of(self, photo: Photo) -> bytes | Failed:
        store = self._stores.of(photo.address)
        began, read_before, tries, pause = time.monotonic(), self._read, 0, _FIRST_PAUSE
        while True:
            try:
                data = store.read(photo)
            except NotRead as error:
                failure = error
            else:
                self._read += 1
                return data
            tries += 1
            if failure.by_store:
                # Others were read since: the store is there, and this photo is not.
                reason = (
                    None
                    if self._read > read_before
                    else store.why_unreachable(root_of_photo(photo, self._named))
                )
                if reason is not None and time.monotonic() - began >= self._patience:
                    raise Stopped(f"{reason}: when it is back, the same command goes on")
            else:
                reason = None
            if reason is None and (not failure.may_pass or tries >= _TRIES):
                return Failed(cause=failure.cause, reason=failure.reason)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _weight(photo: Photo) -> int:
    return _UNKNOWN_BYTES if photo.size is None else photo.size
