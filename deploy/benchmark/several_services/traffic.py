"""What callers send to the services, and which answers are right."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from deploy.benchmark.load.clients import MakeSender, Reply, Sender, alike
from deploy.benchmark.load.rest import RestClient
from deploy.benchmark.load.sample_requests import LOW_PRECISION_TOLERANCE, picture
from qface_client import ConnectError, FaceClient, QFaceError, RequestTimeout, ServerBusy

OURS, PLAIN = "FaceClient", "without retries"
_CROPS, _SIZE = 4, 112
_OTHER = "another answer than that of a service that is well"
_CODES: Sequence[tuple[type[QFaceError], str]] = (
    (RequestTimeout, "DEADLINE_EXCEEDED"),
    (ConnectError, "UNAVAILABLE"),
    (ServerBusy, "RESOURCE_EXHAUSTED"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One call, and the JSON of its answer by a service that is well."""

    call: Callable[[FaceClient], Any]
    answer: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """Who balances.

    url     where to ask
    key     of the callers; the gateways count by its name
    rest    whether to ask over REST in place of gRPC
    """

    name: str
    url: str
    key: str
    rest: bool = False

    @property
    def key_name(self) -> str:
        return re.sub(r"\W+", "-", self.name)

    def client(self, *, retries: bool = True, timeout: float = 60.0) -> FaceClient:
        """With a connection of its own: else those of one process share it."""
        return FaceClient(
            self.url,
            api_key=self.key,
            insecure_key=True,  # to namespaces of this program's own
            retries=retries,
            timeout=timeout,
            options={"grpc.use_local_subchannel_pool": 1},
        )


class Requests:
    """Crops whose answers differ, and a photo, with the answers that one service gives while it is well."""

    def __init__(self, way: "Way", *, photo: bytes) -> None:
        crops = [picture(seed, size=_SIZE) for seed in range(_CROPS)]

        def of_crop(number: int) -> Callable[[FaceClient], Any]:
            return lambda client: client.analyze_crop(crops[number]).to_dict()

        calls = [of_crop(number) for number in range(_CROPS)]
        calls.append(lambda client: client.analyze(photo).to_dict())
        self.encoded = photo
        with way.client() as client:
            self.all = [Request(call=call, answer=call(client)) for call in calls]
        for one, other in itertools.combinations(self.all, 2):
            if alike(one.answer, other.answer, tolerance=LOW_PRECISION_TOLERANCE):
                raise ValueError("two requests have the same answer: one that is mixed up would not show")

    @property
    def photo(self) -> Request:
        return self.all[-1]

    @property
    def crops(self) -> Sequence[Request]:
        return self.all[:-1]


def rest_caller(way: Way, requests: Requests) -> MakeSender:
    """Posts the photo and never tries again, whatever comes; its outcomes' `model` is the first `sort`."""
    return lambda: _RestCaller(way, requests)


def callers(
    way: Way, requests: Sequence[Request], *, ours: int, plain: int, deadline: float
) -> list[MakeSender]:
    """FaceClients as they are, and such that send each request once; their outcomes' `model` is a `sort`."""

    def of(first: int, *, retries: bool) -> MakeSender:
        return lambda: _Caller(way, requests, first=first, retries=retries, deadline=deadline)

    return [
        *(of(number, retries=True) for number in range(ours)),
        *(of(ours + number, retries=False) for number in range(plain)),
    ]


def sort(way: Way, *, retries: bool) -> str:
    """What outcomes of such callers have for a model."""
    return f"{way.name}, {OURS if retries else PLAIN}"


class _RestCaller(Sender):
    def __init__(self, way: Way, requests: Requests) -> None:
        self.model = sort(way, retries=True)
        self._client = RestClient(way.url, metadata=[("Authorization", f"Bearer {way.key}")])
        self._requests = requests

    def send(self, deadline: float) -> Reply:
        reply, answer = self._client.analyze(self._requests.encoded, query={}, deadline=deadline)
        if reply.code != "OK":
            return reply
        right = alike(answer, self._requests.photo.answer, tolerance=LOW_PRECISION_TOLERANCE)
        return Reply(right=right, details="" if right else _OTHER)

    def close(self) -> None:
        self._client.close()


class _Caller(Sender):
    def __init__(
        self, way: Way, requests: Sequence[Request], *, first: int, retries: bool, deadline: float
    ) -> None:
        self.model = sort(way, retries=retries)
        self._client = way.client(retries=retries, timeout=deadline)
        first %= len(requests)
        self._requests = itertools.cycle([*requests[first:], *requests[:first]])

    def send(self, deadline: float) -> Reply:
        request = next(self._requests)
        try:
            answer = request.call(self._client)
        except QFaceError as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), type(error).__name__)
            return Reply(code=code, details=str(error))
        right = alike(answer, request.answer, tolerance=LOW_PRECISION_TOLERANCE)
        return Reply(right=right, details="" if right else _OTHER)

    def close(self) -> None:
        self._client.close()
