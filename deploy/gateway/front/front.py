"""Front: the gRPC server that clients connect to."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc

from deploy.gateway.admission.picture_cost import PictureCosts
from deploy.gateway.authority import Authority
from deploy.gateway.descriptors import most_connections
from deploy.gateway.front.answers import Answers, not_ready
from deploy.gateway.front.channels import Channels
from deploy.gateway.front.health import HEALTH_SERVICE, Health
from deploy.gateway.front.inference import METHOD as INFER
from deploy.gateway.front.inference import Inference
from deploy.gateway.front.memory import MemoryWatch, resident_bytes
from deploy.gateway.front.messages import MessageReader
from deploy.gateway.front.methods import METHODS, SERVICE, Handling, Method
from deploy.gateway.front.replies import abort, own_failure
from deploy.gateway.identity import Identities, server_credentials
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal, crowded, of_model
from deploy.gateway.shared_memory import SharedMemoryReader
from deploy.gateway.tracing.request_trace import Traces

# Beyond a request's largest size, so that most of what is too large gets the gateway's own sentence.
_SPARE_BYTES = 32 * 1024 * 1024
# gRPC counts a call until its client has read the answer, so its own bound leaves room for those that don't.
_UNREAD_ANSWERS = 4  # times the calls at a time
_STREAMS = 1024  # calls at a time on one connection: what one client may hold; it lets further ones wait
# A connection ends then and its client makes another, so that what it does not read is not kept for ever.
_CONNECTION_SECONDS = 300
_LAST_CALLS_SECONDS = 300  # on a connection that ends
_CLIENTS_PING_SECONDS = 5  # at least, between two pings of a client; one that sends more is disconnected
_UNREAD_SHARE = 4  # of the calls at a time, one in so many may wait for its request
_READ_SECONDS = 60.0  # for a request to arrive
# Of all methods but inference, some of which strangers may call: what has arrived of a request is in memory.
_SMALL_READ_SECONDS = 5.0
_SMALL_UNREAD = 256  # of them at a time, as they are there at once
_FORWARD_SECONDS = 10.0  # for a call to Triton that is no inference
_TICK = 0.02  # seconds between looks for answers that are still to come
_LAST_BYTES_SECONDS = 0.1  # for an answer to leave this process


Handle = Callable[[Any], Awaitable[bytes]]  # from a call's context to the serialised answer


class Front:
    """Serves the V2 protocol and the health protocol. For one event loop.

    access_log  None: no line is written
    traces      None: no request is traced
    log         gets a sentence when certificates were read again, could not be, or expire soon
    """

    def __init__(
        self,
        authority: Authority,
        *,
        options: GatewayOptions,
        identities: Identities,
        access_log: AccessLog | None = None,
        traces: Traces | None = None,
        log: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._authority = authority
        self._log = log
        self._options = options
        self._identities = identities
        self._traces = traces
        self._channels = Channels()
        # What waits or is with Triton is there twice for moments: as it came, and on its way to Triton.
        memory = MemoryWatch(bound=resident_bytes() + 2 * options.limits.waiting_bytes, log=log)
        unread = max(1, options.limits.connections // _UNREAD_SHARE)
        self._small_requests = MessageReader(
            unread=min(unread, _SMALL_UNREAD), seconds=_SMALL_READ_SECONDS, memory=memory
        )
        self._calls = 0  # that are counted as `Limits.connections`
        self._closed = False
        self._answers = Answers(authority, is_open=lambda: not self._closed)
        self._health = Health(authority, reader=self._small_requests, health=self._answers.health)
        self._costs = PictureCosts(options.limits)
        self._inference = Inference(
            authority,
            channels=self._channels,
            reader=self._reader(unread=unread, seconds=_READ_SECONDS, memory=memory),
            identities=identities,
            limits=options.limits,
            access_log=access_log,
            cost_of=self._costs.of,
        )
        self._server: grpc.aio.Server | None = None

    @property
    def in_flight(self) -> int:
        """Requests that are with a Triton, those that their clients have left included."""
        return self._inference.in_flight

    async def start(self, port: int, *, shared: bool = False) -> int:
        """Listens on the options' host; returns the port, a free one for 0. OSError where it is taken.

        `shared`: this user's other processes may have the port too, one that keeps it during a restart say.
        """
        server = grpc.aio.server(
            options=self._server_options(shared=shared),
            maximum_concurrent_rpcs=_UNREAD_ANSWERS * self._options.limits.connections,
        )
        server.add_generic_rpc_handlers((_Handlers(self._handlers()),))
        address = f"{_bracketed(self._options.host)}:{port}"
        credentials = server_credentials(self._options.identity, log=self._log)
        try:
            if credentials is None:
                bound = int(server.add_insecure_port(address))
            else:
                bound = int(server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise OSError(f"can't listen on {address}: is another server running there?") from error
        await server.start()
        self._server = server
        return bound

    async def refuse_new(self, refusal: Refusal) -> None:
        """From now on every inference gets this refusal, and health is NOT_SERVING; accepted work goes on."""
        self._closed = True
        self._inference.refuse_new(refusal)

    async def finish(self, grace: float) -> None:
        """Waits at most `grace` seconds for the answers to accepted requests; then the process is to end.

        Until it does, requests go on being refused. gRPC's own `stop` would give CANCELLED, without a reason,
        to those that arrive meanwhile; the end of a process is UNAVAILABLE to their clients.
        """
        end = time.monotonic() + grace
        while self.in_flight and time.monotonic() < end:
            await asyncio.sleep(_TICK)
        await asyncio.sleep(_LAST_BYTES_SECONDS)

    async def stop(self, grace: float) -> None:
        """Ends all calls after at most `grace` seconds, and what is still with a Triton."""
        if self._server is not None:
            await self._server.stop(grace)
        await self._inference.stop()
        self._costs.close()
        await self._channels.close()

    # -- within -------------------------------------------------------------------------------------

    def _reader(self, **options: Any) -> MessageReader:
        if self._options.shared_memory:
            return SharedMemoryReader(limit=self._options.limits.request_bytes, **options)
        return MessageReader(**options)

    def _server_options(self, *, shared: bool) -> tuple[tuple[str, int], ...]:
        return (
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", self._options.limits.request_bytes + _SPARE_BYTES),
            ("grpc.so_reuseport", int(shared or self._options.processes > 1)),
            # A client that vanished without a word is noticed.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # So may a client notice that this server vanished; gRPC's own bound is a ping in five minutes.
            ("grpc.http2.min_ping_interval_without_data_ms", _CLIENTS_PING_SECONDS * 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.server_handshake_timeout_ms", 20_000),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.max_allowed_incoming_connections", most_connections()),
            ("grpc.max_connection_age_ms", _CONNECTION_SECONDS * 1000),
            ("grpc.max_connection_age_grace_ms", _LAST_CALLS_SECONDS * 1000),
        )

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        return {
            **{f"/{SERVICE}/{name}": self._handler(name, method) for name, method in METHODS.items()},
            f"/{HEALTH_SERVICE}/Check": _taking_one_message(self._ending("Check", self._health.check)),
            f"/{HEALTH_SERVICE}/Watch": grpc.stream_stream_rpc_method_handler(self._watch),
        }

    def _handler(self, name: str, method: Method) -> grpc.RpcMethodHandler:
        match method.handling:
            case Handling.INFERRED:
                infer = self._inference.infer if self._traces is None else self._traced(self._traces)
                return _taking_one_message(self._in_a_place(infer))
            case Handling.ANSWERED:
                return _taking_one_message(self._ending(name, self._answering(name, method)))
            case Handling.FORWARDED:
                return _taking_one_message(self._in_a_place(self._ending(name, self._forwarding(name))))
            case Handling.REFUSED:
                # Streams too: one that ends at once is like a call, as nothing is read or written.
                return _taking_one_message(self._ending(name, _refusing(method)))

    def _in_a_place(self, handle: Handle) -> Handle:
        """`handle`, refused where as many calls as may be are under way.

        What the gateway answers by itself needs no place: it is answered once it is read, and probes shall
        not fail because there is much to do.
        """
        limit = self._options.limits.connections

        async def in_a_place(context: Any) -> bytes:
            if self._calls >= limit:
                await self._refuse(context, crowded(limit))
            self._calls += 1
            try:
                return await handle(context)
            finally:
                self._calls -= 1

        return in_a_place

    def _traced(self, traces: Traces) -> Handle:
        """Inference, each call as a trace where it is sampled."""
        name = f"{SERVICE}/{INFER}"

        async def traced(context: Any) -> bytes:
            trace = traces.begin(context.invocation_metadata(), name=name)
            try:
                return await self._inference.infer(context, trace)
            finally:
                status = {"rpc.grpc.status_code": grpc.StatusCode[trace.code].value[0]} if trace.code else {}
                trace.finish({"rpc.system": "grpc", "rpc.method": name, **status})

        return traced

    def _ending(self, name: str, handle: Handle) -> Handle:
        """`handle`, whose errors end the call."""

        async def ending(context: Any) -> bytes:
            try:
                return await handle(context)
            except grpc.aio.AioRpcError as error:
                await abort(context, of_model(error.code(), error.details() or ""))
            except Refusal as refusal:
                await self._refuse(context, refusal)
            except Exception as error:
                await self._refuse(context, own_failure(error, doing=f"on {name}"))

        return ending

    async def _refuse(self, context: Any, refusal: Refusal) -> NoReturn:
        self._authority.refused("", refusal.reason)
        await abort(context, refusal)

    async def _watch(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        """Health's `watch`, whose refusals end the call; it reads the request itself."""
        try:
            async for state in self._health.watch(context):
                yield state
        except Refusal as refusal:
            await abort(context, refusal)

    def _answering(self, name: str, method: Method) -> Handle:
        answer = self._answers.methods[name]

        async def handle(context: Any) -> bytes:
            if not method.open_to_all:
                self._identities.identify(context.invocation_metadata(), context.auth_context)
            return answer(await self._small_requests.read(context))

        return handle

    def _forwarding(self, name: str) -> Handle:
        checked = self._answers.forwarded[name]

        async def handle(context: Any) -> bytes:
            self._identities.identify(context.invocation_metadata(), context.auth_context)
            data = checked(await self._small_requests.read(context))
            address = self._authority.address()
            if address is None:
                raise not_ready(self._authority)
            answer: bytes = await self._channels.call(address, name)(data, timeout=_FORWARD_SECONDS)
            return answer

        return handle


def _refusing(method: Method) -> Handle:
    async def handle(context: Any) -> bytes:
        raise Refusal(method.code, method.sentence, reason="method")

    return handle


def _taking_one_message(handle: Handle) -> grpc.RpcMethodHandler:
    """A handler for gRPC that reads the request itself, when it has looked who calls; messages stay bytes."""

    async def read_and_handle(requests: Any, context: Any) -> bytes:
        return await handle(context)

    return grpc.stream_unary_rpc_method_handler(read_and_handle)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds a call's handler by its path."""

    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
