"""The one repair: another Triton takes the place of a sick one."""

import asyncio
import collections
import time
from collections.abc import Awaitable, Callable

from deploy.embedded.errors import NoRoom
from deploy.gateway.backends.backend import Backend

_FIRST_DELAY = 0.5  # seconds after a start that failed; doubled with each one
_PATIENCE = 5  # starts that fail within a minute, before the service is reported unhealthy
_MINUTE = 60.0
_RARELY = 30.0  # seconds between starts from then on
_NO_ROOM_SECONDS = 2.0  # between starts that only lack room


class Backoff:
    """How long to wait after starts that failed: a little, then longer, and half a minute for good."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: collections.deque[float] = collections.deque(maxlen=_PATIENCE)
        self.hopeless = False

    def failed(self) -> float:
        """Counts a failure; returns the seconds until the next try."""
        now = self._clock()
        self._failures.append(now)
        if len(self._failures) == _PATIENCE and now - self._failures[0] <= _MINUTE:
            self.hopeless = True
        recent = sum(now - when <= _MINUTE for when in self._failures)
        return _RARELY if self.hopeless else _FIRST_DELAY * 2 ** (recent - 1)

    def succeeded(self) -> None:
        self._failures.clear()
        self.hopeless = False


class Repair:
    """Starts Tritons until one is ready. One at a time, however many sick ones there are.

    start      starts a Triton of the present repository; it has passed its canaries
    install    makes it the active one
    on_event   one line each for the log
    on_trouble called when `trouble` changes
    """

    def __init__(
        self,
        *,
        start: Callable[[], Awaitable[Backend]],
        install: Callable[[Backend], None],
        on_event: Callable[[str, str], None],
        on_trouble: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._install = install
        self._on_event = on_event
        self._on_trouble = on_trouble
        self._clock = clock
        self._backoff = Backoff(clock=clock)
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""  # why no start succeeds, once several have failed

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self, why: str, *, unproved: bool = False) -> None:
        """Starts a Triton in place of one that is sick; does nothing while one is being started.

        unproved   the sick one had answered nothing yet: it counts as a start that failed
        """
        if not self.running:
            delay = self._failed(why) if unproved else 0.0
            self._task = asyncio.get_running_loop().create_task(self._run(why, delay=delay), name="repair")

    def call_off(self) -> asyncio.Task[None] | None:
        """Gives the repair up: another Triton answers, or the service ends. Returns what comes to its end."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._untroubled()
        return task

    async def cancel(self) -> None:
        """Gives the repair up, and waits for the end of what it has started."""
        if (task := self.call_off()) is not None:
            await asyncio.gather(task, return_exceptions=True)

    def proved(self) -> None:
        """The active Triton has answered, or has lived for a while: earlier failures count no more."""
        self._backoff.succeeded()

    def _untroubled(self) -> None:
        if self.trouble:
            self.trouble = ""
            self._on_trouble()

    def _failed(self, why: str) -> float:
        """Counts a start that failed; returns the seconds until the next one."""
        delay = self._backoff.failed()
        if self._backoff.hopeless and self.trouble != why:
            self.trouble = why
            self._on_trouble()
        return delay

    async def _run(self, why: str, *, delay: float) -> None:
        began = self._clock()
        quiet_until = began
        while True:
            await asyncio.sleep(delay)
            try:
                backend = await self._start()
            except Exception as error:  # whatever it is: nobody else would try again
                delay = self._failed(str(error))
                if isinstance(error, NoRoom):  # to try costs nothing, and there may be room at any time
                    delay = min(delay, _NO_ROOM_SECONDS)
                    if self._clock() < quiet_until:
                        continue
                    quiet_until = self._clock() + _MINUTE
                again = f"trying again in {delay:.1f} s"
                self._on_event(
                    "repair_failed", f"a server that was to replace a sick one failed: {error}; {again}"
                )
                continue
            self._install(backend)
            self._on_event(
                "repaired",
                f"Triton {backend.generation} answers after {self._clock() - began:.1f} s; "
                f"the one before was given up: {why}",
            )
            self._untroubled()
            return
