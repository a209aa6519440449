"""Candidates: Tritons that are being started; each is one that can answer once it has passed its canaries."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from deploy.embedded import errors
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.canaries import canaries_of, pass_all
from deploy.gateway.backends.standby import Starter


class Candidates:
    """Starts Tritons, until it is closed.

    start     starts one
    timeout   seconds for each canary
    on_run    called with one that runs, before its canaries
    on_fail   called with one that has run, and is not to be used
    """

    def __init__(
        self,
        start: Starter,
        *,
        timeout: float,
        on_run: Callable[[Backend], None],
        on_fail: Callable[[Backend], None],
    ) -> None:
        self._start = start
        self._timeout = timeout
        self._on_run = on_run
        self._on_fail = on_fail
        self._closed = False
        self._starting: set[asyncio.Future[Backend]] = set()

    async def one(self, repository: Path, *, niceness: int) -> Backend:
        """A Triton that has passed its canaries; CanaryFailed where it has not, and the errors of a start.

        One that crashes while it starts is started once more: a repository that makes it crash does so again.
        """
        try:
            return await self._one(repository, niceness=niceness)
        except errors.Crashed:
            return await self._one(repository, niceness=niceness)

    async def _one(self, repository: Path, *, niceness: int) -> Backend:
        if self._closed:
            raise errors.StartCancelled("the service is stopping")
        starting = asyncio.ensure_future(self._start(repository, niceness=niceness))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            backend = await starting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if starting.done() and not starting.cancelled() and starting.exception() is None:
                self._on_run(starting.result())  # ready in the moment in which it was called off
                self._on_fail(starting.result())
            if task is not None and task.cancelling():
                raise
            raise errors.StartCancelled("the service is stopping") from None  # by `close`, not by the caller
        self._on_run(backend)
        try:
            wrong = await pass_all(backend, canaries_of(backend.served).values(), timeout=self._timeout)
            if wrong or (wrong := backend.sick or backend.look()):
                raise errors.CanaryFailed(wrong)
        except BaseException:
            self._on_fail(backend)
            raise
        return backend

    async def close(self) -> None:
        """Calls off what is being started; nothing is started any more."""
        self._closed = True
        for starting in self._starting:
            starting.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
