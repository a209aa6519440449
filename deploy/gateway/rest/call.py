"""RestCall: an HTTP request as `Inference` sees it, in the place of gRPC's context of a call."""

import time
import uuid
from collections.abc import Iterable, Mapping

import grpc
from aiohttp import web

from deploy.gateway.authority import Authority
from deploy.gateway.front.answers import not_ready
from deploy.gateway.front.request import check_id
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.identity import Identities, permit
from deploy.gateway.observability.server_timing import ServerTiming
from deploy.gateway.refusals import Refusal, invalid
from deploy.gateway.rest.body import check_head, read_photo
from deploy.gateway.rest.contracts import ServedContracts
from deploy.gateway.rest.photo_query import TIMEOUT, PhotoQuery, read_query, read_timeout
from deploy.gateway.rest.photo_request import photo_request
from deploy.gateway.rest.problems import REQUEST_ID
from deploy.gateway.tracing.request_trace import UNTRACED, Traces

# What certificates are called in Python's ssl and in gRPC.
_COMMON_NAME, _ALTERNATIVES = "x509_common_name", "x509_subject_alternative_name"


class Head:
    """Who sends an HTTP request, in gRPC's words."""

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request

    def invocation_metadata(self) -> Iterable[tuple[str, str]]:
        """The headers, with the names that metadata has."""
        return [(name.lower(), value) for name, value in self.request.headers.items()]

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """The names of the client's certificate."""
        transport = self.request.transport
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        shown = None if tls is None else tls.getpeercert()
        if not shown:
            return {}
        subject = (entry for group in shown.get("subject", ()) for entry in group)
        return {
            _COMMON_NAME: [value.encode() for name, value in subject if name == "commonName"],
            _ALTERNATIVES: [value.encode() for _, value in shown.get("subjectAltName", ())],
        }

    def peer(self) -> str:
        """As gRPC names it: "ipv4:127.0.0.1:5000"."""
        transport = self.request.transport
        name = None if transport is None else transport.get_extra_info("peername")
        return f"ipv4:{name[0]}:{name[1]}" if name else ""


def sent_id(request: web.BaseRequest) -> str:
    """The id that a request has been given; "" where there is none, or none that suits a log."""
    given = request.headers.get(REQUEST_ID, "")
    try:
        check_id(given)
    except Refusal:
        return ""
    return given


class RestCall(Head):
    """One photo and what is asked of it.

    `read` refuses what can be refused without the body before it reads it.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        *,
        authority: Authority,
        identities: Identities,
        contracts: ServedContracts,
        limit: int,
        traces: Traces | None = None,
    ) -> None:
        super().__init__(request)
        name = f"{request.method} {request.path}"
        self.trace = UNTRACED if traces is None else traces.begin(self.invocation_metadata(), name=name)
        self._authority = authority
        self._identities = identities
        self._contracts = contracts
        self._limit = limit
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._photo: memoryview | None = None
        self._served: ServedModels | None = None  # that `query` was compared with
        self.request_id = sent_id(request) or uuid.uuid4().hex
        self.query: PhotoQuery | None = None  # as it was sent last
        self.timing: ServerTiming | None = None  # of what was answered last

    def time_remaining(self) -> float | None:
        """None: a timeout goes as the request's own parameter."""
        return None

    async def read(self) -> bytes:
        """The ModelInferRequest; Refusal where the request can't become one."""
        if self._photo is None:
            self._read_head()
            self._look_up()
            self._photo = await read_photo(self.request, limit=self._limit)
        query = self._look_up()
        left = None if self._seconds is None else self._began + self._seconds - time.monotonic()
        if left is not None and left <= 0:
            raise Refusal(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"the request's {TIMEOUT} of {self._seconds:g} s passed before it had arrived: give it a "
                "longer one",
                reason="timeout",
            )
        return photo_request(self._photo, query, request_id=self.request_id, seconds_left=left)

    # -- within -------------------------------------------------------------------------------------

    def _read_head(self) -> None:
        headers = self.request.headers
        if (given := headers.get(REQUEST_ID)) is not None:
            check_id(given)
            if not given:
                raise invalid(f"the header {REQUEST_ID} is empty: leave it out, or send an id")
        self._seconds = read_timeout(headers.get(TIMEOUT))
        check_head(self.request, limit=self._limit)

    def _look_up(self) -> PhotoQuery:
        """Compares the query with what is served, anew where another repository has taken over meanwhile."""
        served = self._authority.served()
        if served is None:
            raise not_ready(self._authority)
        if self.query is not None and served is self._served:
            return self.query
        caller = self._identities.identify(self.invocation_metadata(), self.auth_context)
        query = read_query(self.request.query, photos=self._contracts.of(served), caller=caller)
        permit(caller, model=query.model.info.name, outputs=query.outputs, served=served)
        self.query, self._served = query, served
        return query


def keep(call: RestCall, timing: ServerTiming) -> None:
    """An `Inference`'s `measured`: the answer's times go into its header, once it is written."""
    call.timing = timing
