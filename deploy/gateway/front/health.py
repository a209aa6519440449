"""Health: the gRPC health protocol (grpc.health.v1), for probes and balancers that speak it.

The services are "" (the whole server), the V2 protocol's service, and each served model by its name.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from deploy.gateway.authority import Authority
from deploy.gateway.front.answers import parsed
from deploy.gateway.front.messages import MessageReader
from deploy.gateway.front.methods import SERVICE
from deploy.gateway.front.request import quoted
from deploy.gateway.refusals import Refusal

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_WHOLE = ("", SERVICE)
_LOOK_SECONDS = 0.25  # between two looks for a watcher
WATCHERS = 256

_Response = health_pb2.HealthCheckResponse


class Health:
    """Answers from `health`: whether the server, or one model of it, is ready, and in a sentence why not.

    `check` and `watch` take a call's context, read its request with `reader`, and raise Refusal.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        reader: MessageReader,
        health: Callable[[str | None], tuple[bool, str]],
    ) -> None:
        self._authority = authority
        self._reader = reader
        self._health = health
        self._watchers = 0

    async def check(self, context: Any) -> bytes:
        """The state now; NOT_FOUND for a service that is not known."""
        service = await self._service(context)
        status = self._status(service)
        if status == _Response.SERVICE_UNKNOWN:
            raise Refusal(
                grpc.StatusCode.NOT_FOUND,
                f"no service {quoted(service)} is known: ask for '', '{SERVICE}' or a model's name",
                reason="unknown_service",
            )
        return _serialised(status)

    async def watch(self, context: Any) -> AsyncIterator[bytes]:
        """The state now, and each one that follows."""
        service = await self._service(context)
        if self._watchers >= WATCHERS:
            # A gRPC client that balances takes this for a server without the protocol and sends it requests;
            # after any other status it would leave the server alone.
            raise Refusal(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{WATCHERS} callers watch the health already: ask with Check",
                reason="watchers",
            )
        self._watchers += 1
        last = None
        try:
            while True:
                status = self._status(service)
                if status != last:
                    last = status
                    yield _serialised(status)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._watchers -= 1

    async def _service(self, context: Any) -> str:
        request = parsed(health_pb2.HealthCheckRequest, await self._reader.read(context))
        return str(request.service)

    def _status(self, service: str) -> int:
        served = self._authority.served()
        if service in _WHOLE:
            is_ready, _ = self._health(None)
        elif served is None:
            is_ready = False  # what will be served is not known yet
        elif service in served.signatures:
            is_ready, _ = self._health(service)
        else:
            return int(_Response.SERVICE_UNKNOWN)
        return int(_Response.SERVING if is_ready else _Response.NOT_SERVING)


def _serialised(status: int) -> bytes:
    data: bytes = _Response(status=status).SerializeToString()
    return data
