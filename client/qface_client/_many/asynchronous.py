"""Many photos, analysed by as many tasks as run at a time."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from typing import Any

from .._photos import Photo
from ..errors import QFaceError
from ..results import Analysis
from .photo_result import InOrder, PhotoResult, failed, photos_in_hand

Results = AsyncGenerator[PhotoResult, None]


@dataclasses.dataclass(frozen=True)
class _End:
    """The iterable has no more."""

    drawn: int
    failure: BaseException | None


async def stream_async(
    photos: Iterable[Photo] | AsyncIterable[Photo],
    *,
    prepare: Callable[[], Awaitable[None]],
    analyze: Callable[[Photo], Awaitable[Analysis]],
    concurrency: int,
    ordered: bool,
) -> Results:
    """As `blocking.stream`, but that photos are drawn in a task of their own, as soon as there is room."""
    await prepare()
    work = _Work(analyze, concurrency=concurrency, room=photos_in_hand(concurrency, ordered=ordered))
    given, end, order = 0, None, InOrder()
    feeder = asyncio.create_task(work.feed(photos))
    try:
        while end is None or given < end.drawn:
            result = await work.done.get()
            if isinstance(result, _End):
                end = result
                continue
            if isinstance(result, BaseException):
                raise result
            for ready in order.ready(result) if ordered else (result,):
                given += 1
                work.room.release()
                yield ready
        if end.failure is not None:
            raise end.failure
    finally:
        tasks = [feeder, *work.workers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Work:
    """Photos on their way: `feed` draws them, as many `workers` as there are photos in hand analyse them."""

    def __init__(
        self, analyze: Callable[[Photo], Awaitable[Analysis]], *, concurrency: int, room: int
    ) -> None:
        self.workers: list[asyncio.Task[None]] = []
        self.done = asyncio.Queue[PhotoResult | BaseException | _End]()
        self.room = asyncio.Semaphore(room)
        self._analyze = analyze
        self._concurrency = concurrency
        self._drawn = asyncio.Queue[tuple[int, Photo]]()

    async def feed(self, photos: Iterable[Photo] | AsyncIterable[Photo]) -> None:
        """Draw photos while there is room; the iterable's own error comes after what is under way."""
        drawn, failure = 0, None
        draw, close = _source(photos)
        try:
            while await self.room.acquire():
                try:
                    photo = await draw()
                except StopAsyncIteration:
                    break
                self._drawn.put_nowait((drawn, photo))
                del photo
                drawn += 1
                if len(self.workers) < min(drawn, self._concurrency):
                    self.workers.append(asyncio.create_task(self._work()))
        except BaseException as error:
            failure = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self.done.put_nowait(_End(drawn, failure))
            await close()

    async def _work(self) -> None:
        while True:
            result = await self._result(*await self._drawn.get())
            self.done.put_nowait(result)
            if isinstance(result, BaseException):
                return  # it ends the iteration, and may be what became of this task's cancellation

    async def _result(self, index: int, photo: Photo) -> PhotoResult | BaseException:
        try:
            analysis = await self._analyze(photo)
            return PhotoResult(index=index, photo=photo, analysis=analysis, error=None)
        except QFaceError as error:
            return failed(index, photo, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return error


def _source(
    photos: Iterable[Photo] | AsyncIterable[Photo],
) -> tuple[Callable[[], Awaitable[Photo]], Callable[[], Awaitable[Any]]]:
    """What draws a photo (StopAsyncIteration at the end), and what closes a generator."""
    if isinstance(photos, AsyncIterable):
        awaited = aiter(photos)

        async def aclose() -> None:
            if isinstance(awaited, AsyncGenerator):
                await awaited.aclose()

        return awaited.__anext__, aclose

    source = iter(photos)

    async def draw() -> Photo:
        try:
            return next(source)
        except StopIteration:
            raise StopAsyncIteration from None

    async def close() -> None:
        if isinstance(source, Generator):
            source.close()

    return draw, close
