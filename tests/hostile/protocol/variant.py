"""A variant of the protocol: one call, and how it has to end."""

import dataclasses
import re
import time
from collections.abc import Callable, Sequence

import grpc
from tritonclient.grpc import service_pb2 as v2

from tests.helpers.hostile_requests import REGION

OK = "OK"
CLOSED = "closed"  # the connection, without an answer
SILENT = "silent"  # neither an answer nor an end within the time that a variant has
SECONDS = 30.0  # of each call
_LONGEST = 1000  # characters of a sentence
_BUSY = ("RESOURCE_EXHAUSTED", "429")
_TRIES, _AGAIN = 20, 0.25  # seconds between them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A server, and valid requests to it: to a model that takes a photo, and to one that takes crops."""

    grpc_address: str
    rest_address: str
    channel: grpc.Channel
    photo: v2.ModelInferRequest
    crops: v2.ModelInferRequest
    encoded: bytes  # the photo's file


@dataclasses.dataclass(frozen=True, kw_only=True)
class End:
    """How a call ended: a gRPC status' name or an HTTP status' number, or CLOSED, or SILENT."""

    code: str
    details: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One call.

    kind   the row that it stands in, in a table of results
    codes  the ends that are right, each as in End.code
    words  a regular expression that the sentence of a refusal has
    """

    name: str
    kind: str
    send: Callable[[Target], End]
    codes: tuple[str, ...]
    words: str = ""

    def end(self, target: Target) -> End:
        """How the call ends; again where the server is busy, which is not what a variant is about."""
        for _ in range(_TRIES - 1):
            end = self.send(target)
            if end.code in self.codes or end.code not in _BUSY:
                return end
            time.sleep(_AGAIN)
        return self.send(target)

    def flaw(self, end: End) -> str:
        """What is wrong with an end; "" for nothing."""
        if end.code not in self.codes:
            return f"it ended with {end.code} and not {' or '.join(self.codes)}: {end.details[:300]!r}"
        if end.code in (OK, "200", CLOSED):
            return ""
        if self.words and not re.search(self.words, end.details):
            return f"its sentence lacks {self.words!r}: {end.details[:300]!r}"
        if len(end.details) > _LONGEST or not end.details.isprintable():
            return f"its sentence is none: {end.details[:300]!r}"
        if any(word in end.details for word in (*REGION, "Traceback", ".py")):
            return f"its sentence tells of the server's insides: {end.details[:300]!r}"
        return ""


def unary(method: str, data: bytes, target: Target, metadata: Sequence[tuple[str, str]] = ()) -> End:
    """The end of a gRPC call with these bytes as its message."""
    try:
        target.channel.unary_unary(method)(data, timeout=SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        return End(code=error.code().name, details=error.details())
    return End(code=OK)
