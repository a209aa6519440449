"""BackendPool: the Tritons behind the gateway. One is active, is watched, repaired, swapped for another."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc

from deploy.embedded import errors
from deploy.gateway.backends import loss
from deploy.gateway.backends.backend import Backend, start_backend
from deploy.gateway.backends.canaries import CanaryRound, ask, canaries_of
from deploy.gateway.backends.candidates import Candidates
from deploy.gateway.backends.repair import Repair
from deploy.gateway.backends.shortage import Shortage
from deploy.gateway.backends.standby import Standby, Starter
from deploy.gateway.backends.triton_log import TritonLog
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal, unavailable
from deploy.gateway.repeating import repeat

_FAREWELL_SECONDS = 2.0  # that a sick Triton has for what it can still answer
_RETRY_SECONDS = 1.0  # after which a client is asked to try again
_PROVED_SECONDS = 5.0  # a Triton that dies sooner, with no request answered, has failed to start
_TICK = 0.1  # between looks for a canary that is due


class BackendPool:
    """Generations of Tritons; for one event loop.

    on_change   is called when the active Triton or the health has changed
    on_event    is called with a word and a sentence, one line each for the log: "sick", "unwell",
                "repaired", "repair_failed", "standby", "standby_ready", "swapped", "rolled_back",
                "swap_failed", "shared_memory_full", "failed"
    previous    the repository that `rollback` goes back to, where a process before this one has swapped
    start       starts a Triton (tests give another)
    """

    def __init__(
        self,
        options: GatewayOptions,
        *,
        on_change: Callable[[], None],
        on_event: Callable[[str, str], None],
        previous: Path | None = None,
        start: Starter | None = None,
    ) -> None:
        self._options = options
        self._settings = options.repair
        self._on_change = on_change
        self._on_event = on_event
        self.repository = options.repository  # resolved by `start`, so that a link that moves changes nothing
        self.previous = previous
        self.repairs = 0  # sick Tritons that were replaced, or are being replaced
        self._generation = 0
        self.log = TritonLog(options.log)
        self._backends: dict[int, Backend] = {}  # all that run, by generation
        self._active: Backend | None = None
        self._canaries = CanaryRound({}, seconds=self._settings.canary_seconds)
        self._unwell: dict[str, str] = {}  # by model: what its canary got, of the active Triton
        self._proved = False  # whether the active one has answered a request, or lived for a while
        self._installed = 0.0  # when it became active
        self._why_none = "the service is starting"
        self._reason = "starting"
        self._closed = False
        self._changed = asyncio.Event()
        self._swapping = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._candidates = Candidates(
            start or self._launch,
            timeout=self._settings.canary_timeout,
            on_run=lambda backend: self._backends.update({backend.generation: backend}),
            on_fail=lambda backend: self._spawn(self._end(backend)),
        )
        self._shortage = Shortage(on_event)
        self._standby = Standby(
            self._settings.standby, start=self._candidates.one, active=self._in_peace, on_event=on_event
        )
        self._repair = Repair(
            start=self._another_one,
            install=self._repaired,
            on_event=on_event,
            on_trouble=self._notify,
        )

    # -- what is there ------------------------------------------------------------------------------

    @property
    def active(self) -> Backend | None:
        """The Triton that gets new requests; None while there is none."""
        return self._active

    @property
    def standby_ready(self) -> bool:
        return self._standby.backend is not None

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All that run: the active one, the standby, and those that end."""
        return tuple(self._backends.values())

    def health(self, model: str | None = None) -> tuple[bool, str]:
        """Whether the service, or this model, answers, from the last request or canary; and why not."""
        if self._active is None:
            return False, self._repair.trouble or self._why_none
        if model is None:
            return not self._unwell, next(iter(self._unwell.values()), "")
        if model not in self._active.served.metadata:
            return False, f"Request for unknown model: '{model}' is not found"
        return model not in self._unwell, self._unwell.get(model, "")

    # -- work ---------------------------------------------------------------------------------------

    def begin(self) -> Backend:
        """The active Triton, with one request more on it; Refusal (UNAVAILABLE) where there is none."""
        if self._active is None:
            raise self._refusal()
        self._active.begin()
        return self._active

    def end(self, generation: int) -> None:
        """A request that was begun on this Triton is answered, or has failed."""
        if (backend := self._backends.get(generation)) is not None:
            backend.end()

    def answered(self, model: str, generation: int) -> None:
        """This Triton has answered a real request: if it is active, the model needs no canary for now."""
        if self._active is None or self._active.generation != generation:
            return  # a late answer shows nothing of the one that took over
        self._canaries.answered(model)
        if not self._proved:
            self._prove()
        if self._unwell.pop(model, None) is not None:
            self._notify()

    async def lost(self, generation: int, code: grpc.StatusCode, details: str) -> bool:
        """Whether a request failed because its Triton, or a process of it, died: then it is to be sent again.

        What failed for a reason of its own is not delayed; the states of the processes are looked at.
        """
        backend = self._backends.get(generation)
        if backend is None or backend.sick or backend.ending:
            return loss.is_suspicious(code, details)
        for seconds in loss.waits_for(code, details):
            await asyncio.sleep(seconds)
            if self._is_sick(backend):
                return True
        if loss.names_a_death(code, details):
            self._give_up(backend, f"a request got: {details}")
            return True
        if loss.lacks_shared_memory(details):
            self._shortage.found()
        return False

    async def another(self, generation: int) -> Backend:
        """Waits for a Triton other than this lost one, and begins a request on it; Refusal at the end.

        It may have been started earlier: a standby takes over from a repair's Triton too.
        """
        while True:
            if self._active is not None and self._active.generation != generation:
                self._active.begin()
                return self._active
            if self._closed or self._repair.trouble:
                raise self._refusal()
            await self._changed.wait()

    # -- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the first Triton; raises the errors of deploy.embedded."""
        self.repository = self.repository.resolve()
        self.log.open()
        self._install(await self._candidates.one(self.repository, niceness=0))
        log = functools.partial(self._on_event, "failed")
        probe = self._settings.probe_seconds
        self._spawn(repeat(self._look, seconds=probe, what="the look at the processes", log=log))
        self._spawn(repeat(self._ask_one, seconds=_TICK, what="the round of canaries", log=log))

    async def swap(self, repository: Path) -> None:
        """Lets another repository take over; raises with one sentence, changing nothing, where it fails."""
        await self._replace(repository, event="swapped")

    async def rollback(self) -> None:
        """Goes back to the repository before the last swap; going back twice is where one was."""
        if self.previous is None:
            raise errors.RepositoryNotFound("nothing was served before this: there is nothing to go back to")
        await self._replace(self.previous, event="rolled_back")

    def cut_off(self, generation: int) -> None:
        """Replaces a Triton whose calls ended with the process that had sent them: it may crash in seconds.

        Until another one is ready it goes on answering.
        """
        if self._active is not None and self._active.generation == generation:
            self._replace_the_active("a process that had sent it requests ended")

    async def stop(self, *, hurried: asyncio.Event | None = None) -> None:
        """Ends all Tritons: after what is in flight, after `grace_seconds`, or once `hurried` is set."""
        self._closed = True
        self._active, self._why_none, self._reason = None, "the service is stopping", "stopping"
        self._notify()
        await self._repair.cancel()
        await self._standby.drop()
        await self._candidates.close()
        grace = self._options.grace_seconds
        drained = asyncio.gather(*(each.drained(grace) for each in self.backends if not each.sick))
        hurry = asyncio.ensure_future((hurried or asyncio.Event()).wait())
        ways: tuple[asyncio.Future[Any], ...] = (drained, hurry)
        _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.gather(*(self._end(backend) for backend in self.backends))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.log.close()

    # -- within -------------------------------------------------------------------------------------

    async def _launch(self, repository: Path, *, niceness: int) -> Backend:
        self._generation += 1
        return await start_backend(
            generation=self._generation,
            repository=repository,
            options=self._options,
            log=self.log.sink,
            niceness=niceness,
        )

    def _in_peace(self) -> Backend | None:
        """The active Triton while no other one is started to take its place."""
        return None if self._repair.running or self._swapping.locked() else self._active

    async def _another_one(self) -> Backend:
        standby = await self._standby.loaded(self.repository)
        return standby or await self._candidates.one(self.repository, niceness=0)

    def _repaired(self, backend: Backend) -> None:
        """Makes a Triton the active one in place of a sick one, which may have answered for some models."""
        if (before := self._active) is not None:
            before.sick = next(iter(self._unwell.values()), "it was replaced")
            self._active = None
            self._spawn(self._bury(before))
        self._install(backend)

    def _install(self, backend: Backend) -> None:
        """Makes a Triton the active one; the one before ends when it has answered."""
        before, self._active = self._active, backend
        self._proved, self._installed = False, time.monotonic()
        self._canaries = CanaryRound(canaries_of(backend.served), seconds=self._settings.canary_seconds)
        self._unwell = {}
        if before is not None:
            self._spawn(self._retire(before, seconds=self._options.drain_seconds))
        self._notify()
        self._standby.keep()

    async def _replace(self, repository: Path, *, event: str) -> None:
        async with self._swapping:
            resolved = repository.resolve()
            began = time.monotonic()
            await self._standby.make_room()
            try:
                backend = await self._candidates.one(resolved, niceness=0)
                if self._closed or self._is_sick(backend):
                    raise errors.CanaryFailed(backend.sick or "the service is stopping")
            except errors.EmbeddedServerError as error:
                self._on_event("swap_failed", f"{resolved} does not take over: {error}")
                raise
            if resolved != self.repository:
                self.repository, self.previous = resolved, self.repository
            self._install(backend)
            await self._repair.cancel()  # not before: there would be neither a Triton nor a repair
            await self._standby.drop()
            self._standby.keep()
            took = time.monotonic() - began
            self._on_event(event, f"{resolved} answers (Triton {backend.generation}, {took:.1f} s)")

    def _give_up(self, backend: Backend, why: str) -> None:
        """Takes a sick Triton out, and lets another take its place."""
        if backend.sick or self._closed:
            return
        backend.sick, backend.mistaken = why, loss.takes_a_process_for_dead(why)
        self._on_event("sick", f"Triton {backend.generation} is given up: {why}")
        self._standby.lost(backend)
        if backend is self._active:
            self._active = None
            self._why_none, self._reason = f"the service is repairing itself: {why}", "repairing"
            self._put_another_in_place(why)
        self._spawn(self._bury(backend))
        self._notify()

    def _prove(self) -> None:
        self._proved = True
        self._repair.proved()

    def _is_sick(self, backend: Backend) -> bool:
        if not backend.sick and (why := backend.look()):
            self._give_up(backend, why)
        return bool(backend.sick)

    def _replace_the_active(self, why: str) -> None:
        """Lets another Triton take its place; until then it goes on answering what it can."""
        if self._active is not None and not self._repair.running:
            self._on_event("sick", f"Triton {self._active.generation} is to be replaced: {why}")
            self._put_another_in_place(why)

    def _put_another_in_place(self, why: str) -> None:
        self.repairs += not self._repair.running
        standby = self._standby.take(self.repository)
        if standby is None:
            self._repair.begin(why, unproved=not self._proved)
            return
        self._repair.call_off()  # it would replace the standby, which is well
        self._repaired(standby)
        answers = f"the standby, Triton {standby.generation}, answers"
        self._on_event("repaired", f"{answers}; the one before was given up: {why}")

    async def _bury(self, backend: Backend) -> None:
        """Ends a sick Triton: what it can still answer it answers, the rest fails now and is sent again.

        One with a frozen process, or a mistaken one, answers no more: 2.51 mixes up requests' tensors then.
        """
        if backend.alive and not (backend.frozen or backend.mistaken):
            await backend.drained(_FAREWELL_SECONDS)
        await self._end(backend)

    async def _retire(self, backend: Backend, *, seconds: float) -> None:
        """Ends a Triton that is well, after what it has in flight."""
        if not backend.sick:
            await backend.drained(seconds)
        await self._end(backend)

    async def _end(self, backend: Backend) -> None:
        try:
            await backend.stop()
        finally:
            self._backends.pop(backend.generation, None)

    async def _look(self) -> None:
        """Looks at the states of all processes."""
        for backend in (each for each in self.backends if not each.ending):
            self._is_sick(backend)
        if self._active and not self._proved and time.monotonic() - self._installed > _PROVED_SECONDS:
            self._prove()

    async def _ask_one(self) -> None:
        """Sends a canary to the model of the active Triton that is due."""
        backend, canaries = self._active, self._canaries
        if backend is None or (canary := canaries.due()) is None:
            return
        began = time.monotonic()
        wrong = await ask(backend, canary, timeout=self._settings.canary_timeout)
        took = time.monotonic() - began
        canaries.took(took)
        if backend is not self._active:
            return
        if not wrong:
            canaries.answered(canary.model)
            if self._unwell.pop(canary.model, None) is not None:
                self._notify()
            return
        if self._is_sick(backend) or loss.takes_a_process_for_dead(wrong):
            self._give_up(backend, wrong)  # if it is not already
            return
        if full := loss.lacks_shared_memory(wrong):  # another Triton would find no more of it
            wrong = self._shortage.found(canary.model)
        again = not full and (canary.model in self._unwell or took >= self._settings.canary_timeout)
        if self._unwell.get(canary.model) != wrong:
            self._unwell[canary.model] = wrong
            self._on_event("unwell", wrong)
            self._notify()
        if again:
            self._replace_the_active(wrong)

    def _refusal(self) -> Refusal:
        sentence = f"the service is {self._reason}: try again in a moment"
        return unavailable(sentence, reason=self._reason, retry_after=_RETRY_SECONDS)

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        try:
            self._on_change()
        except Exception as error:  # a repair must not end of what it is reported to
            self._on_event("failed", f"a change of the Tritons was not taken in: {error!r}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_event("failed", f"{task.get_coro()} ended: {error!r}")
