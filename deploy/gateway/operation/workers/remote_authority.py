"""RemoteAuthority: the main process's authority, as a further front process sees it."""

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import grpc

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_sums import AnswerBlock
from deploy.gateway.operation.workers import messages
from deploy.gateway.operation.workers.messages import Message
from deploy.gateway.work import Ending, Ticket, Work


class RemoteAuthority:
    """Implements Authority over a connection: what is served is pushed, tickets are asked for."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Ticket]] = {}
        self._served: ServedModels | None = None
        self._address: str | None = None
        self._health: Mapping[str, tuple[bool, str]] = {}
        self._suspects: frozenset[str] = frozenset()

    def received(self, message: Message) -> bool:
        """Takes a message of the main process; whether it was one for the authority."""
        match message:
            case [messages.GRANTED, number, ticket]:
                self._answer(number).set_result(messages.ticket_from_json(ticket))
            case [messages.DENIED, number, refusal]:
                self._answer(number).set_exception(messages.refusal_from_json(refusal))
            case [messages.STATE, state]:
                self._take(state)
            case _:
                return False
        return True

    # -- of Authority -------------------------------------------------------------------------------

    def served(self) -> ServedModels | None:
        return self._served

    def address(self) -> str | None:
        return self._address

    def health(self, model: str | None = None) -> tuple[bool, str]:
        found = self._health.get(model or "")
        return found or (False, f"model {model!r} is not served" if model else "the server is starting")

    def suspects(self) -> Collection[str]:
        return self._suspects

    async def admit(self, work: Work) -> Ticket:
        number, answer = self._ask()
        self._send([messages.ADMIT, number, messages.work_to_json(work)])
        try:
            return await answer
        except asyncio.CancelledError:
            # The ticket may be on its way: the main process takes it back all the same.
            self._waiting.pop(number, None)
            self._send([messages.CANCEL, number])
            raise

    async def failed(
        self, ticket: Ticket, code: grpc.StatusCode, details: str, *, digest: str, resend: bool = True
    ) -> Ticket:
        number, answer = self._ask()
        self._send([messages.FAILED, number, ticket.number, code.name, details, digest, resend])
        return await answer

    def finish(
        self, ticket: Ticket, work: Work, ending: Ending, *, code: grpc.StatusCode, seconds: float, faces: int
    ) -> None:
        self._send([messages.FINISH, ticket.number, ending.value, code.name, seconds, faces])

    def left_out(self, model: str, faces: int) -> None:
        self._send([messages.LEFT_OUT, model, faces])

    def answered(self, block: AnswerBlock) -> None:
        self._send([messages.ANSWERED, messages.block_to_json(block)])

    def refused(self, model: str, reason: str) -> None:
        self._send([messages.REFUSED, model, reason])

    # -- within -------------------------------------------------------------------------------------

    def _ask(self) -> "tuple[int, asyncio.Future[Ticket]]":
        number = next(self._numbers)
        answer: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        return number, answer

    def _answer(self, number: int) -> "asyncio.Future[Ticket]":
        """Who waits for this answer; a future of nobody's, if the client left meanwhile."""
        waiting = self._waiting.pop(number, None)
        if waiting is None or waiting.done():
            waiting = asyncio.get_running_loop().create_future()
            waiting.add_done_callback(lambda future: future.exception())
        return waiting

    def _take(self, state: Mapping[str, Any]) -> None:
        if "served" in state:
            self._served = messages.served_from_json(state["served"])
        self._address = state["address"]
        self._suspects = frozenset(state["suspects"])
        self._health = {model: (is_ready, reason) for model, (is_ready, reason) in state["health"].items()}
