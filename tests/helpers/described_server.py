"""A FakeServer that also says who it is, what it has counted, and in what time it answered."""

from typing import Any

import grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from tritonclient.grpc import service_pb2 as v2

from tests.helpers.fake_v2_server import FakeServer, classes, contract_of


class DescribedServer(FakeServer):
    """As a gateway: `timings` goes with each answer ("": as Triton alone), `key` is asked of every caller."""

    def __init__(self, contract: dict[str, Any] | None = None, *, timings: str = "", key: str = "") -> None:
        super().__init__(contract or contract_of(classes("mood", ["glad", "sad"])))
        self.timings = timings
        self.key = key
        self.counted = 0
        self.before_infer = lambda number, context: self._admit(context, timings=True)
        self.before_read = lambda number, context: self._admit(context)

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return v2.ServerLiveResponse(live=True)

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._admit(context)
        return v2.ServerMetadataResponse(name="triton", version="2.99.0")

    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """10 ms an answer."""
        response = v2.ModelStatisticsResponse()
        success = response.model_stats.add(name=request.name, version="1").inference_stats.success
        success.count, success.ns = self.infers, self.infers * 10_000_000
        return response

    def _admit(self, context: grpc.ServicerContext, *, timings: bool = False) -> None:
        given = dict(context.invocation_metadata()).get("authorization")
        if self.key and given is None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key came with the call")
        if self.key and given != f"Bearer {self.key}":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "the key may not do this")
        if timings and self.timings:
            context.set_trailing_metadata((("server-timing", self.timings),))


def health(*, serving: bool = True) -> HealthServicer:
    """What the server reports by the health protocol."""
    servicer = HealthServicer()
    servicer.set("", HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING)
    return servicer
