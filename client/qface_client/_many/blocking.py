"""Many photos, each analysed in one of several threads."""

import contextvars
import functools
import queue
import threading
from collections.abc import Callable, Generator, Iterable

from .._photos import Photo
from .._stopping import Stop
from ..errors import QFaceError
from ..results import Analysis
from .photo_result import InOrder, PhotoResult, failed, photos_in_hand

Results = Generator[PhotoResult, None, None]
Job = Callable[[], None]

_LOOK_SECONDS = 1.0  # after which a thread without work looks whether it is still wanted


def stream(
    photos: Iterable[Photo],
    *,
    prepare: Callable[[], None],
    analyze: Callable[[Photo], Analysis],
    concurrency: int,
    ordered: bool,
) -> Results:
    """The results of `analyze` for each photo, at most `concurrency` at a time.

    `prepare` runs first: what it raises ends the iteration before a photo is drawn. Photos are drawn in the
    consumer's thread, when it wants a result. An error of `analyze` that is no QFaceError ends the iteration.
    """
    prepare()
    source, ended, failure = iter(photos), False, None
    done = queue.SimpleQueue[PhotoResult | BaseException]()
    in_hand, bound, order = 0, photos_in_hand(concurrency, ordered=ordered), InOrder()
    stop = Stop()
    workers, drawn = _Workers(concurrency, stop=stop), 0
    try:
        while True:
            stop.consumed_here()
            while not ended and in_hand < bound:
                try:
                    photo = next(source)
                except StopIteration:
                    ended = True
                except Exception as error:  # of the caller's own iterable: after what is under way
                    ended, failure = True, error
                else:
                    context = contextvars.copy_context()  # what the consumer traces is the photos' too
                    workers.submit(
                        functools.partial(
                            context.run, _analyze, drawn, photo, analyze=analyze, done=done, stop=stop
                        )
                    )
                    drawn, in_hand = drawn + 1, in_hand + 1
                    del photo, context
                if not done.empty():  # the iterable may be slow: what is there does not wait for it
                    break
            if not in_hand:
                break
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            for ready in order.ready(result) if ordered else (result,):
                in_hand -= 1
                yield ready
        if failure is not None:
            raise failure
    finally:
        stop.stop()
        workers.end()
        if isinstance(source, Generator):
            source.close()


def _analyze(
    index: int,
    photo: Photo,
    *,
    analyze: Callable[[Photo], Analysis],
    done: "queue.SimpleQueue[PhotoResult | BaseException]",
    stop: Stop,
) -> None:
    try:
        with stop.ends_calls():
            analysis = analyze(photo)
        done.put(PhotoResult(index=index, photo=photo, analysis=analysis, error=None))
    except QFaceError as error:
        done.put(failed(index, photo, error))
    except BaseException as error:
        done.put(error)


class _Workers:
    """Threads that run jobs, no more than there are jobs.

    Not concurrent.futures' pool: at the interpreter's end that waits for all its jobs, however long they are
    tried again, and takes none from threads that still run.
    """

    def __init__(self, most: int, *, stop: Stop) -> None:
        self._most = most
        self._stop = stop
        self._jobs = queue.SimpleQueue[Job | None]()
        self._threads: list[threading.Thread] = []

    def submit(self, job: Job) -> None:
        self._jobs.put(job)
        if len(self._threads) < self._most:
            name = f"qface-many-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name)
            thread.start()  # RuntimeError where the system gives no more
            self._threads.append(thread)

    def end(self) -> None:
        """Wait for the jobs that run, once they have been stopped; the others are dropped."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.unwanted:
            try:
                job = self._jobs.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if job is None or self._stop.unwanted:
                return
            job()
            del job
