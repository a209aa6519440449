"""Health: the gRPC health protocol (grpc.health.v1), for probes and balancers that speak it.

The services are "" (the whole server), the V2 protocol's service, and each served model by its name.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.gateway.authority import Authority
from deploy.gateway.front.methods import SERVICE
from deploy.gateway.front.request import quoted

_WHOLE = ("", SERVICE)
_LOOK_SECONDS = 0.25  # between two looks for a watcher
_WATCHERS = 256

_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers from `health`: whether the server, or one model of it, is ready, and in a sentence why not."""

    def __init__(self, authority: Authority, *, health: Callable[[str | None], tuple[bool, str]]) -> None:
        self._authority = authority
        self._health = health
        self._watchers = 0

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        status = self._status(request.service)
        if status == _Response.SERVICE_UNKNOWN:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"no service {quoted(request.service)} is known: ask for '', '{SERVICE}' or a model's name",
            )
        return _Response(status=status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        if self._watchers >= _WATCHERS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{_WATCHERS} callers watch the health already: ask with Check",
            )
        self._watchers += 1
        last = None
        try:
            while True:
                status = self._status(request.service)
                if status != last:
                    last = status
                    yield _Response(status=status)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._watchers -= 1

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
