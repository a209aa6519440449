"""Calls that FaceClient has no method for: who a server is, whether it is ready, what it has counted."""

import argparse
import dataclasses
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2 as v2

from .._connection.access import Tls, authorization, tls_files
from .._connection.channel import open_channel
from . import connection_options

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

SERVING = 1  # of grpc.health.v1.HealthCheckResponse.ServingStatus
_STATUS_TAG = 0x08  # of its only field: a number in one byte


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted:
    """What a model has answered since it was loaded."""

    answers: int
    seconds: float  # of all of them, from the request's arrival at the model to its answer

    def __sub__(self, before: "Counted") -> "Counted":
        return Counted(answers=self.answers - before.answers, seconds=self.seconds - before.seconds)

    @property
    def mean_ms(self) -> float | None:
        """Milliseconds of an answer; None where there was none."""
        return 1e3 * self.seconds / self.answers if self.answers > 0 else None


class DirectCalls:
    """A channel of its own; arguments as of FaceClient. Every method raises grpc.RpcError."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        api_key: str | None = None,
        tls: Tls | bool | None = None,
        insecure_key: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        files = tls_files(tls)
        self._metadata = authorization(
            api_key, url=url, encrypted=files is not None, insecure_key=insecure_key
        )
        self._timeout = timeout
        self._channel = open_channel(url, tls=files, options=options, library=grpc)

    def server(self) -> tuple[str, str]:
        """The server's name and version."""
        answered = self._call("ServerMetadata", v2.ServerMetadataRequest(), v2.ServerMetadataResponse)
        return answered.name, answered.version

    def counted(self, model: str) -> Counted:
        """What one model has answered, all its versions together."""
        answered = self._call(
            "ModelStatistics", v2.ModelStatisticsRequest(name=model), v2.ModelStatisticsResponse
        )
        successes = [each.inference_stats.success for each in answered.model_stats]
        return Counted(
            answers=sum(each.count for each in successes), seconds=sum(each.ns for each in successes) / 1e9
        )

    def is_live(self) -> bool:
        """Whether the process answers at all: a call with next to nothing in it, open to every caller."""
        answered = self._call("ServerLive", v2.ServerLiveRequest(), v2.ServerLiveResponse)
        return bool(answered.live)

    def is_serving(self) -> bool:
        """Whether the whole server is ready, by the gRPC health protocol."""
        # Its messages are two bytes at most: no package of stubs is needed for them.
        check = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        answered: bytes = check(b"", timeout=self._timeout, metadata=self._metadata)
        return answered == bytes([_STATUS_TAG, SERVING])

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request, timeout=self._timeout, metadata=self._metadata)


def stated_server(options: argparse.Namespace) -> dict[str, str] | None:
    """The name and version by which the server of a command's options calls itself; None where it has none,
    or there is none."""
    if options.local or options.replay:
        return None
    access = connection_options.access(options)
    try:
        with DirectCalls(options.url, timeout=options.timeout, **access) as calls:
            name, version = calls.server()
    except grpc.RpcError:
        return None
    return {"name": name, "version": version}
