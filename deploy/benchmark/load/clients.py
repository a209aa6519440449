"""Clients in threads, each with its own connection, that send one request after the other or at a rate."""

import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc
from tritonclient.utils import InferenceServerException

from deploy.benchmark.load.outcomes import SLACK, End, Outcome, Summary, end_of_error
from deploy.benchmark.load.sample_requests import CHANNEL, TOLERANCE, Sample, Samples
from deploy.loadtest.loads import OpenLoop
from qface_client import (
    ConnectError,
    FaceClient,
    InvalidInput,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
)

_PUSHBACK = "grpc-retry-pushback-ms"
_ARRIVAL_SECONDS = 10.0  # whose arrivals are drawn at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """What a sender got: an answer that was checked, or an error.

    right   whether it is what this request should get; errors that say "try again" always are
    left    the client gave the request up on purpose
    """

    right: bool = True
    left: bool = False
    code: str = "OK"
    details: str = ""
    pushback: float | None = None


class Sender(Protocol):
    """One client's connection."""

    model: str

    def send(self, deadline: float) -> Reply:
        """Sends the client's next request and waits for its end, `deadline` seconds at the most."""

    def close(self) -> None: ...


class _RawSender:
    def __init__(self, address: str, samples: Sequence[Sample], *, model: str, tolerance: float) -> None:
        self.model = model
        self._channel = grpc.insecure_channel(address, options=CHANNEL)
        self._stub = v2_grpc.GRPCInferenceServiceStub(self._channel)
        self._samples = itertools.cycle(samples)
        self._tolerance = tolerance

    def send(self, deadline: float) -> Reply:
        sample = next(self._samples)
        try:
            answer = self._stub.ModelInfer(sample.request, timeout=deadline)
        except grpc.RpcError as error:
            return reply_of(error)
        flaw = sample.flaw(answer, tolerance=self._tolerance)
        return Reply(right=not flaw, details=flaw)

    def close(self) -> None:
        self._channel.close()


def reply_of(error: Any) -> Reply:
    """A failed call's status, sentence and pushback."""
    wait = dict(error.trailing_metadata() or ()).get(_PUSHBACK)
    return Reply(
        code=error.code().name,
        details=str(error.details()),
        pushback=None if wait is None else int(wait) / 1000,
    )


class _TritonclientSender:
    def __init__(self, address: str, samples: Sequence[Sample], *, model: str, tolerance: float) -> None:
        self.model = model
        self._client = triton.InferenceServerClient(address, channel_args=CHANNEL)
        self._samples = itertools.cycle(
            [(sample, _tritonclient_inputs(sample.request)) for sample in samples]
        )
        self._tolerance = tolerance

    def send(self, deadline: float) -> Reply:
        sample, inputs = next(self._samples)
        try:
            answer = self._client.infer(self.model, inputs, client_timeout=deadline)
        except InferenceServerException as error:
            return Reply(code=str(error.status()).rpartition(".")[2], details=str(error.message()))
        flaw = sample.flaw(answer.get_response(), tolerance=self._tolerance)
        return Reply(right=not flaw, details=flaw)

    def close(self) -> None:
        self._client.close()


def _tritonclient_inputs(request: v2.ModelInferRequest) -> list[Any]:
    inputs = []
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        made = triton.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
        made._raw_content = raw  # what set_data_from_numpy leaves
        inputs.append(made)
    return inputs


class _FaceClientSender:
    """Our own client, which tries again what may be tried again."""

    # Errors of the client as the statuses that they come from.
    _CODES: Sequence[tuple[type[QFaceError], str]] = (
        (RequestTimeout, "DEADLINE_EXCEEDED"),
        (ConnectError, "UNAVAILABLE"),
        (ServerBusy, "RESOURCE_EXHAUSTED"),
        (InvalidInput, "INVALID_ARGUMENT"),
        (ServerError, "INTERNAL"),
    )

    def __init__(
        self, address: str, call: Callable[[FaceClient], object], *, deadline: float, tolerance: float
    ) -> None:
        self.model = "FaceClient"
        self._tolerance = tolerance
        self._client = FaceClient(address, timeout=deadline)
        self._call = call
        self._expected: object = None

    def send(self, deadline: float) -> Reply:
        try:
            answer = self._call(self._client)
        except QFaceError as error:
            code = next((code for kind, code in self._CODES if isinstance(error, kind)), "UNKNOWN")
            return Reply(code=code, details=str(error))
        if self._expected is None:
            self._expected = answer
        return Reply(right=alike(answer, self._expected, tolerance=self._tolerance))

    def close(self) -> None:
        self._client.close()


def end_of(reply: Reply, *, seconds: float, deadline: float) -> End:
    """The one end of a request whose client knew after `seconds`."""
    if reply.left:
        return End.ABANDONED
    if reply.code == "OK":
        late = seconds > deadline + SLACK
        return End.LOST if late else End.ANSWERED if reply.right else End.WRONG
    end = end_of_error(reply.code, reply.details, seconds=seconds, deadline=deadline)
    return End.WRONG if end is End.REFUSED and not reply.right else end


MakeSender = Callable[[], Sender]


def raw_sender(address: str, samples: Samples, model: str, *, first: int = 0) -> MakeSender:
    """Plain gRPC stubs, which never try again."""
    return lambda: _RawSender(address, _from(samples, model, first), model=model, tolerance=samples.tolerance)


def tritonclient_sender(address: str, samples: Samples, model: str, *, first: int = 0) -> MakeSender:
    """The plain tritonclient, which never tries again."""
    return lambda: _TritonclientSender(
        address, _from(samples, model, first), model=model, tolerance=samples.tolerance
    )


def face_client_sender(
    address: str, call: Callable[[FaceClient], object], *, deadline: float, tolerance: float = TOLERANCE
) -> MakeSender:
    """A FaceClient that makes one call again and again; `call` returns its answer as JSON.

    Its first answer is what is expected of all.
    """
    return lambda: _FaceClientSender(address, call, deadline=deadline, tolerance=tolerance)


def alike(one: object, other: object, *, tolerance: float) -> bool:
    """Whether two JSON values are the same, numbers up to the tolerance (relative above 1)."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            alike(one[key], other[key], tolerance=tolerance) for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            alike(a, b, tolerance=tolerance) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return one == other


def _from(samples: Samples, model: str, first: int) -> list[Sample]:
    """The samples of a model, beginning with another one for each client."""
    all_of_it = samples.by_model[model]
    return [all_of_it[(first + number) % len(all_of_it)] for number in range(len(all_of_it))]


class Load:
    """Clients that send until the block ends; `outcomes` has the one end of every request that was sent.

    deadline    seconds that each request has
    pause       seconds of a closed loop between an answer and the next request
    rate        requests a second of each client, at random times (open loop), whatever came of those before;
                None: closed loop
    patient     a refused client waits as long as the server asks before it goes on
    """

    def __init__(
        self,
        senders: Sequence[MakeSender],
        *,
        deadline: float = 30.0,
        pause: float = 0.0,
        rate: float | None = None,
        patient: bool = True,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._deadline = deadline
        self._pause = pause
        self._rate = rate
        self._patient = patient
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, make), name=f"client-{number}", daemon=True)
            for number, make in enumerate(senders)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish()
        if error is None and self._failures:
            raise self._failures[0]

    def finish(self) -> None:
        """Sends nothing more, and returns when all that was sent has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=self._deadline + 30 * SLACK)
            assert not thread.is_alive(), f"{thread.name} neither got an answer nor gave up"

    @property
    def sending(self) -> bool:
        """Whether none of the clients ended by a mistake of its own."""
        return not self._failures

    @property
    def summary(self) -> Summary:
        return Summary.of(self.outcomes)

    def wait_for(self, count: int, *, timeout: float = 60.0) -> None:
        """Returns when so many further requests have been answered; AssertionError after the timeout."""
        goal = self._answered() + count
        end = time.monotonic() + timeout
        while self._answered() < goal:
            assert time.monotonic() < end, f"{count} further answers did not come: {self.summary}"
            time.sleep(0.01)

    def _answered(self) -> int:
        return sum(outcome.end is End.ANSWERED for outcome in tuple(self.outcomes))

    def _run(self, number: int, make: MakeSender) -> None:
        try:
            with closing(make()) as sender:
                if self._rate is None:
                    self._closed_loop(number, sender)
                else:
                    self._open_loop(number, sender, rate=self._rate)
        except Exception as error:
            self._failures.append(error)

    def _closed_loop(self, number: int, sender: Sender) -> None:
        while not self._stop.is_set():
            outcome = self._one(number, sender, time.monotonic())
            wait = self._pause
            if self._patient and outcome.pushback is not None:
                wait = max(wait, outcome.pushback)
            if outcome.end is End.REFUSED:
                wait = max(wait, 0.01)  # a server that refuses at once is not to be hammered
            self._stop.wait(wait)

    def _open_loop(self, number: int, sender: Sender, *, rate: float) -> None:
        arrivals, random = OpenLoop(rate=rate), np.random.default_rng(number)
        begin, sent = time.monotonic(), list[threading.Thread]()
        while not self._stop.is_set():
            for due in begin + arrivals.dues(seconds=_ARRIVAL_SECONDS, share=1.0, random=random):
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    break
                thread = threading.Thread(target=self._one, args=(number, sender, float(due)), daemon=True)
                thread.start()
                sent.append(thread)
            begin += _ARRIVAL_SECONDS
        for thread in sent:
            thread.join(timeout=self._deadline + 30 * SLACK)

    def _one(self, number: int, sender: Sender, due: float) -> Outcome:
        began = time.monotonic()
        reply = sender.send(self._deadline)
        ended = time.monotonic()
        outcome = Outcome(
            client=f"client-{number}",
            model=sender.model,
            began=due,
            seconds=ended - due,
            end=end_of(reply, seconds=ended - began, deadline=self._deadline),
            code=reply.code,
            details=reply.details,
            pushback=reply.pushback,
        )
        self.outcomes.append(outcome)
        return outcome
