"""Inference: the way of one ModelInfer through the gateway.

A client that leaves ends its wait and nothing else: what was sent to Triton runs to its end without the
client's deadline, keeps its ticket until then, and its answer is dropped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import grpc

from deploy.gateway.authority import Authority
from deploy.gateway.front.answers import not_ready
from deploy.gateway.front.call import InferenceCall
from deploy.gateway.front.channels import Channels
from deploy.gateway.front.found_faces import faces_in, faces_left_out
from deploy.gateway.front.messages import MessageReader
from deploy.gateway.front.replies import abort, in_trailing_metadata, own_failure
from deploy.gateway.front.request import InferRequest, parameter, read_request
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.validation import TIMEOUT, validate
from deploy.gateway.identity import Identities, permit, tasks_of
from deploy.gateway.observability.access_log import AccessLog, host_of
from deploy.gateway.observability.answer_sums import AnswerSums
from deploy.gateway.observability.server_timing import ServerTiming
from deploy.gateway.options import Limits
from deploy.gateway.refusals import BY_MODEL, Refusal, again, too_large
from deploy.gateway.tracing.request_trace import UNTRACED, RequestTrace
from deploy.gateway.work import Cost, Ending, Work
from runtime.answering.parameters import PRIORITY
from runtime.spans import CLIENT, TRACEPARENT

METHOD = "ModelInfer"

CostOf = Callable[[InferRequest, ServedModels], Awaitable[Cost]]
# What a call's own protocol has: its end without an answer, and where an answer's times go.
End = Callable[[Any, Refusal], Awaitable[NoReturn]]
Measured = Callable[[Any, ServerTiming], None]

_STOP_SECONDS = 2.0  # for calls to notice that they have ended
_LARGE = 1024 * 1024  # bytes
_DOING = "on an inference"


class Inference:
    """Reads, validates, admits and forwards inferences. For one event loop.

    Its calls are gRPC's contexts, or what is like them in all that is used here: `invocation_metadata`,
    `auth_context`, `peer`, `time_remaining` and `read`, which returns a serialised ModelInferRequest. `end`
    ends such a call with a refusal, `measured` gets the times of one that is answered.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        channels: Channels,
        reader: MessageReader,
        identities: Identities,
        limits: Limits,
        access_log: AccessLog | None,
        cost_of: CostOf,
        end: End = abort,
        measured: Measured = in_trailing_metadata,
    ) -> None:
        self._end = end
        self._measured = measured
        self._authority = authority
        self._channels = channels
        self._reader = reader
        self._identities = identities
        self._limits = limits
        self._access_log = access_log
        self._cost_of = cost_of
        self._answer_sums = AnswerSums(authority.answered)
        self._settling: set[asyncio.Task[bytes]] = set()
        self._in_flight = 0
        self._closed: Refusal | None = None

    @property
    def in_flight(self) -> int:
        """Requests that are with a Triton, those that their clients have left included."""
        return self._in_flight

    def refuse_new(self, refusal: Refusal) -> None:
        """From now on every new request gets this refusal."""
        self._closed = refusal

    async def infer(self, context: Any, trace: RequestTrace = UNTRACED) -> bytes:
        """Reads a ModelInferRequest and returns Triton's serialised answer; all else ends the call.

        `trace` gets the spans of what happens, and how it ended.
        """
        call = InferenceCall(context=context, trace=trace)
        if self._access_log is not None:
            call.peer = host_of(context.peer())
        try:
            await self._prepare(call)
            answer = await self._within_timeout(call)
            self._measured(context, call.timing())
            return answer
        except Refusal as refusal:
            await self._refuse(call, refusal)
        except asyncio.CancelledError:
            if call.ticket is None and call.model:
                self._authority.refused(call.model, "client_left")
            raise
        except Exception as error:
            await self._refuse(call, own_failure(error, doing=_DOING))

    async def stop(self) -> None:
        """Ends what is still with a Triton, once all calls have ended."""
        end = time.monotonic() + _STOP_SECONDS
        while self._in_flight and time.monotonic() < end:
            settling = tuple(self._settling)
            await asyncio.sleep(0.01)  # all of them have begun: a task that has not would give no ticket back
            for task in settling:
                task.cancel()

    # -- before it is sent --------------------------------------------------------------------------

    async def _prepare(self, call: InferenceCall) -> None:
        """Everything that is found out before admission; raises Refusal.

        Who calls is known before a request is read, which may be large.
        """
        if self._closed is not None:
            raise again(self._closed)
        context = call.context
        call.caller = self._identities.identify(context.invocation_metadata(), context.auth_context)
        call.trace.known()
        with call.trace.phase("receive"):
            data = await self._reader.read(context)
        call.began, call.size = time.monotonic(), len(data)
        served = self._authority.served()
        if served is None:
            raise not_ready(self._authority)
        if len(data) > self._limits.request_bytes:
            raise too_large(len(data), self._limits.request_bytes)
        call.request = request = read_request(data)
        if request.model in served.signatures:
            call.model = request.model
        validate(request, served)
        usual_outputs = served.signatures[request.model].usual_outputs
        if usual_outputs and not request.outputs:
            call.request = request = request.extended(usual_outputs)
        if self._access_log is not None:
            call.tasks = sorted(tasks_of(model=request.model, outputs=request.outputs, served=served))
        permit(call.caller, model=request.model, outputs=request.outputs, served=served)
        call.work = Work(
            model=request.model,
            cost=await self._cost_of(request, served),
            client=call.caller.name,
            per_second=call.caller.per_second,
            seconds_left=_seconds_left(context.time_remaining(), request),
            priority=int(request.parameters.get(PRIORITY, 0)),
            digest=await self._suspected(request),
        )

    async def _suspected(self, request: InferRequest) -> str:
        """The request's digest, where that is a suspect's; computed only while there are suspects."""
        suspects = self._authority.suspects()
        if not suspects:
            return ""
        digest = await digest_of(request)
        return digest if digest in suspects else ""

    async def _within_timeout(self, call: InferenceCall) -> bytes:
        """The answer, or DEADLINE_EXCEEDED once the request's own timeout has passed."""
        assert call.request is not None
        microseconds = call.request.parameters.get(TIMEOUT)
        if not microseconds:
            return await self._admit_and_send(call)
        try:
            async with asyncio.timeout(float(microseconds) / 1e6):
                return await self._admit_and_send(call)
        except TimeoutError:
            if call.ticket is None:
                self._authority.refused(call.model, "timeout")
            raise Refusal(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"the request's timeout of {microseconds} microseconds passed before the answer was there: "
                "give it a longer one, or none",
                reason="timeout",
            ) from None

    async def _admit_and_send(self, call: InferenceCall) -> bytes:
        assert call.work is not None
        with call.trace.phase("queue"):
            call.ticket = await self._authority.admit(call.work)
        self._in_flight += 1
        try:
            sending = self._send(call)
        except Exception as error:
            raise self._failed_ourselves(call, error) from None
        try:
            # To await `sending` itself would be to cancel it when the client leaves.
            await _ended(sending)
        except asyncio.CancelledError:
            call.left = True
            self._start(self._settle(call, sending))
            raise
        if await sending.code() is grpc.StatusCode.OK:  # the common way, which needs no task of its own
            return await self._settle(call, sending)
        try:
            return await asyncio.shield(self._start(self._settle(call, sending)))
        except asyncio.CancelledError:
            call.left = True
            raise

    def _start(self, settling: Coroutine[Any, Any, bytes]) -> "asyncio.Task[bytes]":
        """A task that goes on when the client leaves."""
        task = asyncio.get_running_loop().create_task(settling)
        self._settling.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: "asyncio.Task[bytes]") -> None:
        self._settling.discard(task)
        if not task.cancelled():
            task.exception()  # fetched, as nobody else may wait for it

    # -- with a Triton ------------------------------------------------------------------------------

    def _send(self, call: InferenceCall) -> Any:
        """Begins the call to Triton: without a deadline, and not to be cancelled."""
        assert call.ticket is not None
        assert call.request is not None
        send = self._channels.call(call.ticket.address, METHOD)
        call.sending()
        if call.trace is UNTRACED:
            return send(call.request.raw)
        call.attempt = call.trace.span("triton", kind=CLIENT, generation=call.ticket.backend)
        parent = call.attempt.context.header()
        call.request = call.request.extended(parameter(TRACEPARENT, parent))
        # In the metadata for Triton's own tracer, where an operator has switched that on.
        return send(call.request.raw, metadata=((TRACEPARENT, parent),))

    async def _settle(self, call: InferenceCall, sending: Any) -> bytes:
        """The answer; gives the ticket back, whatever happens."""
        try:
            answer = await self._answer(call, sending)
            faces = self._faces(call, answer)
        except Refusal as refusal:
            ending = Ending.FAILED if refusal.reason == BY_MODEL else Ending.REFUSED
            self._finish(call, ending, code=refusal.code, reason=refusal.reason)
            raise
        except asyncio.CancelledError:
            reason = "client_left" if self._closed is None else "stopping"
            self._finish(call, Ending.ABANDONED, code=grpc.StatusCode.UNAVAILABLE, reason=reason)
            raise
        except Exception as error:
            raise self._failed_ourselves(call, error) from None
        self._finish(call, Ending.ANSWERED, code=grpc.StatusCode.OK, faces=faces)
        return answer

    async def _answer(self, call: InferenceCall, sending: Any) -> bytes:
        """Triton's answer; where Triton died under the request, another one's."""
        assert call.request is not None
        while True:
            try:
                answer: bytes = await sending
                call.attempted()
                return answer
            except grpc.aio.AioRpcError as error:
                code, details = error.code(), error.details() or ""
                call.attempted(code.name)
            assert call.ticket is not None
            digest = await digest_of(call.request)
            repair = call.trace.span("repair")
            call.ticket = await self._authority.failed(
                call.ticket, code, details, digest=digest, resend=not call.left
            )
            repair.end()
            sending = self._send(call)

    def _failed_ourselves(self, call: InferenceCall, error: Exception) -> Refusal:
        failure = own_failure(error, doing=_DOING)
        self._finish(call, Ending.REFUSED, code=failure.code, reason=failure.reason)
        return failure

    def _finish(
        self, call: InferenceCall, ending: Ending, *, code: grpc.StatusCode, reason: str = "", faces: int = 0
    ) -> None:
        """Gives the ticket back, counts and logs the request."""
        assert call.ticket is not None
        assert call.work is not None
        self._in_flight -= 1
        if call.left:
            ending = Ending.ABANDONED
        seconds = time.monotonic() - call.began
        self._authority.finish(call.ticket, call.work, ending, code=code, seconds=seconds, faces=faces)
        call.record(ending, code=code, reason=reason, faces=faces, access_log=self._access_log)

    # -- after it -----------------------------------------------------------------------------------

    def _faces(self, call: InferenceCall, answer: bytes) -> int:
        served = self._authority.served()
        assert call.work is not None
        if served is None:
            return 0
        if not call.left and (left_out := faces_left_out(answer, call.work, served)):
            self._authority.left_out(call.work.model, left_out)
        return faces_in(answer, call.work, served, sums=self._answer_sums)

    async def _refuse(self, call: InferenceCall, refusal: Refusal) -> NoReturn:
        """Ends the call; counts and logs a refusal that came before admission."""
        if call.ticket is None:
            if call.work is None:  # else the authority refused it, and has counted it
                self._authority.refused(call.model, refusal.reason)
            call.record(Ending.REFUSED, code=refusal.code, reason=refusal.reason, access_log=self._access_log)
        elif call.left:  # it goes on without its client, whose span ends here
            call.trace.outcome(refusal.code.name, outcome=Ending.REFUSED.value, reason=refusal.reason)
        await self._end(call.context, refusal)
        raise AssertionError("a call went on after its end")


def _ended(sending: Any) -> "asyncio.Future[None]":
    """Done when the call to Triton is, however it ended; cancelling it leaves the call alone."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_: Any) -> None:
        if not future.done():
            future.set_result(None)

    sending.add_done_callback(end)
    return future


async def digest_of(request: InferRequest) -> str:
    """The request's digest; of a large one in a thread, as it takes a millisecond a megabyte."""
    if len(request.raw) < _LARGE:
        return request.digest()
    return await asyncio.to_thread(request.digest)


def _seconds_left(remaining: float | None, request: InferRequest) -> float | None:
    """Until the client's deadline or the request's own timeout, whichever is nearer."""
    timeout = float(request.parameters.get(TIMEOUT, 0)) / 1e6
    if not timeout:
        return remaining
    return timeout if remaining is None else min(remaining, timeout)
