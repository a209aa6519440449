"""InferenceCall: one call as far as it has come, what was measured of it, and how it is recorded."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import grpc

from deploy.gateway.front.request import InferRequest
from deploy.gateway.identity import Caller
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.observability.server_timing import ServerTiming
from deploy.gateway.tracing.request_trace import OpenSpan, RequestTrace
from deploy.gateway.work import Ending, Ticket, Work


@dataclasses.dataclass(slots=True, kw_only=True)
class InferenceCall:
    """What is known of a call; times in seconds of the monotonic clock."""

    context: Any
    trace: RequestTrace
    began: float = dataclasses.field(default_factory=time.monotonic)  # later: when the request was read
    size: int = 0  # bytes of the request
    peer: str = ""
    caller: Caller | None = None
    request: InferRequest | None = None
    model: str = ""  # once it is known to be a served one
    tasks: Sequence[str] = ()  # that the request asks for, where a log wants to know it
    work: Work | None = None
    ticket: Ticket | None = None
    attempt: OpenSpan | None = None  # to send it to a Triton
    sent: float = 0.0  # when the attempt began
    in_triton: float = 0.0  # seconds that ended attempts took
    left: bool = False  # the client waits no more

    def sending(self) -> None:
        """An attempt begins."""
        self.sent = time.monotonic()

    def attempted(self, error: str = "") -> None:
        """The attempt has ended, in an answer or in an error's code."""
        self.in_triton += time.monotonic() - self.sent
        if self.attempt is not None:
            self.attempt.end(error)

    def timing(self) -> ServerTiming:
        """Of a call that is answered now."""
        assert self.ticket is not None
        return ServerTiming(
            total=time.monotonic() - self.began, queue=self.ticket.queued_seconds, triton=self.in_triton
        )

    def record(
        self,
        ending: Ending,
        *,
        code: grpc.StatusCode,
        reason: str,
        faces: int = 0,
        access_log: AccessLog | None,
    ) -> None:
        """Puts how the call ended into its trace and, if there is one, the access log."""
        megapixels = 0.0 if self.work is None else self.work.cost.pixels / 1e6
        self.trace.outcome(
            code.name,
            outcome=ending.value,
            reason=reason,
            model=self.model,
            bytes=self.size,
            megapixels=megapixels,
            faces=faces,
        )
        if access_log is None:
            return
        queued = None if self.ticket is None else self.ticket.queued_seconds
        access_log.write(
            trace=self.trace.id,
            id="" if self.request is None else self.request.id,
            model=self.model,
            client="" if self.caller is None else self.caller.name,
            peer=self.peer,
            tasks=self.tasks,
            bytes=self.size,
            megapixels=megapixels,
            faces=faces,
            outcome=ending.value,
            code=code.name,
            reason=reason,
            queue_ms=None if queued is None else queued * 1e3,
            triton_ms=None if queued is None else self.in_triton * 1e3,
            total_ms=(time.monotonic() - self.began) * 1e3,
            generation=None if self.ticket is None else self.ticket.backend,
        )
