"""RestFront: the HTTP server that clients connect to, in the place of gRPC's `Front`."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from aiohttp import web

from deploy.gateway.admission.picture_cost import PictureCosts
from deploy.gateway.authority import Authority
from deploy.gateway.front.channels import Channels
from deploy.gateway.front.inference import Inference
from deploy.gateway.front.memory import MemoryWatch, resident_bytes
from deploy.gateway.front.messages import MessageReader
from deploy.gateway.front.replies import own_failure
from deploy.gateway.identity import Identities, server_ssl_context
from deploy.gateway.listener import Listener, bound_sockets
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal, crowded
from deploy.gateway.rest.analyze import Analyze
from deploy.gateway.rest.call import RestCall, keep, sent_id
from deploy.gateway.rest.connections import Connections
from deploy.gateway.rest.contracts import ServedContracts
from deploy.gateway.rest.descriptions import Descriptions
from deploy.gateway.rest.page_files import PageFiles
from deploy.gateway.rest.problems import REQUEST_ID, Problem, end
from deploy.gateway.rest.routes import Routes
from deploy.gateway.tracing.request_trace import Traces
from deploy.web.bundle.contents import BUNDLE
from deploy.web.site import Site

_UNREAD_SHARE = 4  # of the calls at a time, one in so many may wait for its request
_READ_SECONDS = 60.0  # for a request to arrive
_HANDSHAKE_SECONDS = 20.0
_BACKLOG = 1024
_TICK = 0.02  # seconds between looks for answers that are still to come
_LAST_BYTES_SECONDS = 0.1  # for an answer to leave this process


class RestFront:
    """Serves REST. For one event loop.

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
        limits = options.limits
        self._authority = authority
        self._options = options
        self._identities = identities
        self._traces = traces
        self._log = log
        self._channels = Channels()
        self._contracts = ServedContracts()
        self._costs = PictureCosts(limits)
        self._calls = 0  # that are counted as `Limits.connections`
        self._closed = False
        page = PageFiles(_site(log)) if options.web else None  # before its memory counts as a request's
        # What waits or is with Triton is there twice for moments: as it came, and on its way to Triton.
        memory = MemoryWatch(bound=resident_bytes() + 2 * limits.waiting_bytes, log=log)
        self._inference = Inference(
            authority,
            channels=self._channels,
            reader=MessageReader(
                unread=max(1, limits.connections // _UNREAD_SHARE), seconds=_READ_SECONDS, memory=memory
            ),
            identities=identities,
            limits=limits,
            access_log=access_log,
            cost_of=self._costs.of,
            end=end,
            measured=keep,
        )
        self._analyze = Analyze(
            authority=authority,
            inference=self._inference,
            contracts=self._contracts,
            call_of=self._call,
        )
        descriptions = Descriptions(
            authority,
            identities=identities,
            contracts=self._contracts,
            options=options,
            is_open=lambda: not self._closed,
        )
        self._routes = Routes(
            {
                **({} if page is None else page.places),
                "/v1/analyze": {"POST": self._in_a_place},
                "/v1/tasks": {"GET": descriptions.tasks},
                "/v1/health/live": {"GET": descriptions.live},
                "/v1/health/ready": {"GET": descriptions.ready},
                "/openapi.json": {"GET": descriptions.openapi},
                "/docs": {"GET": descriptions.docs},
            },
            below=None if page is None else page.below,
        )
        self._connections = Connections(self._handle, most=limits.connections)
        self._listener: Listener | None = None

    @property
    def in_flight(self) -> int:
        """Requests that are with a Triton, those that their clients have left included."""
        return self._inference.in_flight

    async def start(self, port: int, *, shared: bool = True) -> int:
        """Listens on the options' host; returns the port, a free one for 0. OSError where it is taken.

        `shared`: this user's other processes may have the port too, one that keeps it during a restart say.
        """
        tls = server_ssl_context(self._options.identity, log=self._log)
        sockets = await bound_sockets(self._options.host, port, shared=shared)
        bound: int = sockets[0].getsockname()[1]
        self._listener = Listener(
            sockets,
            self._connections,
            name="the REST port",
            backlog=_BACKLOG,
            log=self._log,
            tls=tls,
            handshake=_HANDSHAKE_SECONDS,
        )
        return bound

    async def refuse_new(self, refusal: Refusal) -> None:
        """From now on every inference gets this refusal, and health is not ready; accepted work goes on."""
        self._closed = True
        self._inference.refuse_new(refusal)

    async def finish(self, grace: float) -> None:
        """Waits at most `grace` seconds for the answers to accepted requests; then the process is to end."""
        until = time.monotonic() + grace
        while self.in_flight and time.monotonic() < until:
            await asyncio.sleep(_TICK)
        await asyncio.sleep(_LAST_BYTES_SECONDS)

    async def stop(self) -> None:
        """Ends all connections, and what is still with a Triton."""
        if self._listener is not None:
            self._listener.close()
        self._connections.end_all()
        await self._inference.stop()
        self._costs.close()
        await self._channels.close()

    # -- within -------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """An answer in any case, unless the client has left."""
        try:
            response = await self._routes.answer(request)
        except Problem as problem:
            self._authority.refused("", problem.refusal.reason)
            response = problem.response()
        except Exception as error:
            refusal = own_failure(error, doing="on a REST request")
            self._authority.refused("", refusal.reason)
            response = Problem(refusal).response()
        if given := sent_id(request):
            response.headers[REQUEST_ID] = given
        if self._closed:
            with contextlib.suppress(RuntimeError):
                response.force_close()
        return response

    async def _in_a_place(self, request: web.BaseRequest) -> web.Response:
        limit = self._options.limits.connections
        if self._calls >= limit:
            raise Problem(crowded(limit))
        self._calls += 1
        try:
            return await self._analyze(request)
        finally:
            self._calls -= 1

    def _call(self, request: web.BaseRequest) -> RestCall:
        return RestCall(
            request,
            authority=self._authority,
            identities=self._identities,
            contracts=self._contracts,
            limit=self._options.limits.request_bytes,
            traces=self._traces,
        )


def _site(log: Callable[[str], None]) -> Callable[[], Site]:
    """The page as it is now, for as long as this process serves. OSError where it can't be read."""
    site = Site.read(bundle=BUNDLE)
    if site.without_bundle:
        log(f"the page is served without a network for the browser: {site.without_bundle}")
    return lambda: site
