"""A page of metrics on which everything has happened once: every series of the gateway's own is there."""

import asyncio

import grpc

from deploy.gateway.observability.metrics import Metrics
from deploy.gateway.work import Cost, Ending, Ticket, Work
from tests.helpers.fake_authority import served_models
from tests.helpers.watched_answers import block, with_contract


class _Watched:
    """Something of everything that the gauges show."""

    waiting = waiting_bytes = in_flight = limit = oldest_wait = lost = exported = dropped = 0
    standby_ready = True
    generation = 1
    served = served_models(with_contract({"t": {"x": [0.5, 0.1]}}))

    @property
    def active(self) -> "_Watched":
        return self

    def health(self, model: str | None = None) -> tuple[bool, str]:
        return True, ""

    async def scrape(self) -> str:
        return ""


def full_page() -> str:
    """The page as Prometheus reads it."""
    metrics, watched = Metrics(), _Watched()
    metrics.watch(watched, watched, watched, spans=watched, certificate_expiry=lambda: 1e9)
    metrics.answered(block(faces=50))
    metrics.left_out("m", 1)
    metrics.refused("m", "overload")
    metrics.event("repaired")
    for ending in Ending:
        metrics.finished(
            work=Work(model="m", cost=Cost(bytes=1), client="shop"),
            ticket=Ticket(number=1, backend=1, address="", queued_seconds=0.0),
            ending=ending,
            code=grpc.StatusCode.OK,
            seconds=0.0,
            faces=1,
        )
    return asyncio.run(metrics.render()).decode()
