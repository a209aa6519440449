"""Authority: the one place that decides what goes to which Triton, and that counts.

The front of a gateway in one process calls it directly (`Dispatcher`); fronts in further processes call it
over a local socket (`RemoteAuthority`), so that limits, keys' rates and metrics are one for all of them.
"""

from collections.abc import Collection
from typing import Protocol

import grpc

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_sums import AnswerBlock
from deploy.gateway.work import Ending, Ticket, Work


class Authority(Protocol):
    """What a front needs of it. All methods run in the front's event loop."""

    def served(self) -> ServedModels | None:
        """The models of the Triton that gets new work; None while none is ready."""

    def health(self, model: str | None = None) -> tuple[bool, str]:
        """Whether the service (or one model of it) answers, and in a sentence why not."""

    def address(self) -> str | None:
        """Where the active Triton listens, for calls that are no inference; None while none is ready."""

    def suspects(self) -> Collection[str]:
        """Digests of requests that a Triton may have died of: work of such a content names its digest."""

    async def admit(self, work: Work) -> Ticket:
        """Waits for a slot and a backend; raises Refusal where the work is turned away.

        Cancelling the wait (the client left) gives up the place in the queue.
        """

    async def failed(
        self, ticket: Ticket, code: grpc.StatusCode, details: str, *, digest: str, resend: bool = True
    ) -> Ticket:
        """After a call that ended in an error: a new ticket, to send the request again, if its backend died.

        `digest` stands for the request's content; `resend` is False where nobody waits for the answer. The
        old ticket is given back, the new one stands in its place. Raises Refusal with what the client is to
        get otherwise, Triton's own error or that backends died of it; `finish` then gets the old one.
        """

    def finish(
        self, ticket: Ticket, work: Work, ending: Ending, *, code: grpc.StatusCode, seconds: float, faces: int
    ) -> None:
        """Gives the ticket back and counts the request; called exactly once for each admitted work."""

    def left_out(self, model: str, faces: int) -> None:
        """Counts faces that an answer does not have as their quality is too low."""

    def answered(self, block: AnswerBlock) -> None:
        """Counts sums of answers."""

    def refused(self, model: str, reason: str) -> None:
        """Counts a request that was turned away before admission; `model` is "" where none such is served."""
