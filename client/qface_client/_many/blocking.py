"""Many photos, each analysed in a thread of a pool."""

import contextvars
import queue
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor

from .._photos import Photo
from .._stopping import Stop
from ..errors import QFaceError
from ..results import Analysis
from .photo_result import InOrder, PhotoResult, failed, photos_in_hand

Results = Generator[PhotoResult, None, None]


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
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="qface-many")
    drawn = 0
    try:
        while True:
            while not ended and in_hand < bound:
                try:
                    photo = next(source)
                except StopIteration:
                    ended = True
                except Exception as error:  # of the caller's own iterable: after what is under way
                    ended, failure = True, error
                else:
                    context = contextvars.copy_context()  # what the consumer traces is the photos' too
                    pool.submit(context.run, _work, drawn, photo, analyze=analyze, done=done, stop=stop)
                    drawn, in_hand = drawn + 1, in_hand + 1
                    del photo, context
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
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(source, Generator):
            source.close()


def _work(
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
