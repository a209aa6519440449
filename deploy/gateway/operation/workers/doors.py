"""Doors: what a further front process may serve, by the name that it is started with."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

from deploy.gateway.authority import Authority
from deploy.gateway.identity import Identities
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal
from deploy.gateway.tracing.request_trace import Traces

GRPC, REST = "gRPC", "REST"


class Door(Protocol):
    """Takes requests of one protocol, and hands them to the authority."""

    @property
    def in_flight(self) -> int:
        """Requests that are with a Triton, those that their clients have left included."""

    async def start(self, port: int, *, shared: bool = False) -> int:
        """Listens on the options' host; returns the port, a free one for 0. OSError where it is taken."""

    async def refuse_new(self, refusal: Refusal) -> None:
        """From now on every inference gets this refusal; accepted work goes on."""

    async def finish(self, grace: float) -> None:
        """Waits at most `grace` seconds for the answers to accepted requests; then the process is to end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontPlan:
    """One process to keep running."""

    name: str  # in the log
    door: str


def open_door(
    door: str,
    authority: Authority,
    *,
    options: GatewayOptions,
    identities: Identities,
    access_log: AccessLog | None,
    traces: Traces | None,
    log: Callable[[str], None],
) -> Door:
    """What serves this door; it does not listen yet. A process imports no more than it serves."""
    if door == REST:
        from deploy.gateway.rest.front import RestFront

        return RestFront(
            authority, options=options, identities=identities, access_log=access_log, traces=traces, log=log
        )
    from deploy.gateway.front.front import Front

    return Front(
        authority, options=options, identities=identities, access_log=access_log, traces=traces, log=log
    )
