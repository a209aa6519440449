"""AuthorityServer: answers one further front process from the main process's authority."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc

from deploy.gateway.authority import Authority
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.operation.workers import messages
from deploy.gateway.operation.workers.messages import Message
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Ending, Ticket, Work


@dataclasses.dataclass(kw_only=True, slots=True)
class _Held:
    """A ticket that the front has."""

    id: int  # of the question that it answers
    ticket: Ticket
    work: Work
    since: float  # time.monotonic of its admission


class AuthorityServer:
    """What one front process asks for, and what it holds. For one event loop.

    cut_off  called with the generation of a Triton whose calls ended with the process of the front: calls to
             ensembles that are cancelled bring Triton down within seconds
    """

    def __init__(
        self, authority: Authority, *, send: Callable[[Message], None], cut_off: Callable[[int], None]
    ) -> None:
        self._authority = authority
        self._send = send
        self._cut_off = cut_off
        self._held: dict[int, _Held] = {}  # by the ticket's number
        self._numbers: dict[int, int] = {}  # the ticket's number by the question's
        self._asking: dict[int, asyncio.Task[None]] = {}  # by the question's number
        self._served: ServedModels | None = None  # as last sent
        self._state: dict[str, Any] | None = None

    @property
    def in_flight(self) -> int:
        """Tickets that the front holds."""
        return len(self._held)

    def push(self) -> None:
        """Sends what is served and how it is, if that has changed."""
        served = self._authority.served()
        names = () if served is None else served.configs
        state: dict[str, Any] = {
            "address": self._authority.address(),
            "suspects": sorted(self._authority.suspects()),
            "health": {
                "": self._authority.health(),
                **{name: self._authority.health(name) for name in names},
            },
        }
        if state == self._state and served is self._served:
            return
        changed = self._state is None or served is not self._served
        self._state, self._served = state, served
        extra = {"served": messages.served_to_json(served)} if changed else {}
        self._send([messages.STATE, {**state, **extra}])

    def received(self, message: Message) -> bool:
        """Takes a message of the front; whether it was one for the authority."""
        match message:
            case [messages.ADMIT, number, work]:
                self._start(number, self._admit(number, messages.work_from_json(work)))
            case [messages.FINISH, ticket, ending, code, seconds, faces]:
                held = self._forget(ticket)
                self._finish(held, Ending(ending), grpc.StatusCode[code], seconds=seconds, faces=faces)
            case [messages.CANCEL, number]:
                self._cancel(number)
            case [messages.FAILED, number, ticket, code, details, digest, resend]:
                status = grpc.StatusCode[code]
                failing = self._failed(number, ticket, status, details, digest=digest, resend=resend)
                self._start(number, failing)
            case [messages.LEFT_OUT, model, faces]:
                self._authority.left_out(model, faces)
            case [messages.ANSWERED, block]:
                self._authority.answered(messages.block_from_json(block))
            case [messages.REFUSED, model, reason]:
                self._authority.refused(model, reason)
            case _:
                return False
        return True

    async def lost(self) -> None:
        """The front is gone: ends what it asks for, and gives back what it held."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)
        generations = {held.ticket.backend for held in self._held.values()}
        # First, so that nothing that is given back now goes to a Triton that is about to fall.
        for generation in generations:
            self._cut_off(generation)
        for number in list(self._held):
            held = self._forget(number)
            self._finish(held, Ending.ABANDONED, grpc.StatusCode.UNAVAILABLE)

    # -- within -------------------------------------------------------------------------------------

    def _start(self, number: int, asking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(asking)
        self._asking[number] = task
        task.add_done_callback(lambda _: self._asking.pop(number, None))

    async def _admit(self, number: int, work: Work) -> None:
        try:
            ticket = await self._authority.admit(work)
        except Refusal as refusal:
            self._send([messages.DENIED, number, messages.refusal_to_json(refusal)])
            return
        self._grant(number, ticket, work, since=time.monotonic())

    async def _failed(
        self,
        number: int,
        ticket: int,
        code: grpc.StatusCode,
        details: str,
        *,
        digest: str,
        resend: bool,
    ) -> None:
        held = self._held[ticket]
        try:
            new = await self._authority.failed(held.ticket, code, details, digest=digest, resend=resend)
        except Refusal as refusal:
            self.push()  # the request may be blamed now, and come again at once
            self._send([messages.DENIED, number, messages.refusal_to_json(refusal)])
            return
        self._forget(ticket)
        self._grant(number, new, held.work, since=held.since)

    def _grant(self, number: int, ticket: Ticket, work: Work, *, since: float) -> None:
        self._held[ticket.number] = _Held(id=number, ticket=ticket, work=work, since=since)
        self._numbers[number] = ticket.number
        self._send([messages.GRANTED, number, messages.ticket_to_json(ticket)])

    def _cancel(self, number: int) -> None:
        if (ticket := self._numbers.get(number)) is not None:  # the two messages crossed
            self._finish(self._forget(ticket), Ending.ABANDONED, grpc.StatusCode.CANCELLED)
        elif (task := self._asking.get(number)) is not None:
            task.cancel()

    def _forget(self, ticket: int) -> _Held:
        held = self._held.pop(ticket)
        del self._numbers[held.id]
        return held

    def _finish(
        self,
        held: _Held,
        ending: Ending,
        code: grpc.StatusCode,
        *,
        seconds: float | None = None,
        faces: int = 0,
    ) -> None:
        if seconds is None:
            seconds = time.monotonic() - held.since
        self._authority.finish(held.ticket, held.work, ending, code=code, seconds=seconds, faces=faces)
