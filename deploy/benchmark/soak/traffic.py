"""Clients that ask at random: good and bad questions, over gRPC and REST; some leave before the answer."""

import dataclasses
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load import http2, leaving
from deploy.benchmark.load.clients import MakeSender, Reply, alike, reply_of
from deploy.benchmark.load.outcomes import RETRYABLE
from deploy.benchmark.load.rest import RestClient, drop
from deploy.benchmark.load.sample_requests import CHANNEL, LOW_PRECISION_TOLERANCE, Sample
from deploy.benchmark.soak.catalogue import Catalogue, Metadata, Question
from deploy.benchmark.soak.rest_questions import RestQuestion, rest_questions

_RENEW = 0.1  # of the requests over gRPC, and of those over REST, that get a new connection
_USUAL = 0.2  # seconds of an answer, before one was measured
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0  # seconds after a refusal that asks to try again
_MEMORY = 0.1  # weight of the newest in the usual time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Questions:
    """What clients ask, and how they identify themselves.

    rest    over REST; none where that door is closed
    """

    good: Sequence[Question]
    bad: Sequence[Question]
    rest: Sequence[RestQuestion] = ()
    metadata: Metadata = ()

    @classmethod
    def of(cls, catalogue: Catalogue, *, rest_address: str = "", metadata: Metadata = ()) -> "Questions":
        """Those of a catalogue; the photos among them also over REST."""
        rest = () if not rest_address else rest_questions(rest_address, metadata=metadata)
        return cls(good=catalogue.good, bad=catalogue.bad, rest=rest, metadata=metadata)


class SoakSender:
    """One client."""

    def __init__(self, address: str, questions: Questions, *, rest_address: str, seed: int) -> None:
        self.model = ""  # what the last request was, for its outcome
        self._address = address
        self._questions = questions
        self._chance = random.Random(seed)
        self._rest = (
            RestClient(rest_address, metadata=questions.metadata) if rest_address and questions.rest else None
        )
        self._channel: Any = None
        self._usual = _USUAL
        self._patience = _FIRST_WAIT
        self._shares = [question.share for question in questions.good]
        small = [question for question in questions.good if question.request.ByteSize() < http2.LARGEST]
        self._small = [question.request.SerializeToString() for question in small]
        self._actions = self._with_shares()

    def _with_shares(self) -> tuple[list[Callable[[float], Reply]], list[float]]:
        over_grpc = [
            (0.80, self._ask),
            (0.06, self._ask_badly),
            (0.04, self._expire),
            (0.04, self._cancel),
            (0.01, self._die),
            (0.03, self._drop),
            (0.02, self._look_around),
        ]
        if self._rest is not None:
            over_rest = [(0.9, self._ask_rest), (0.05, self._leave_rest), (0.05, self._drop_rest)]
            over_grpc = [(0.7 * share, action) for share, action in over_grpc] + [
                (0.3 * share, action) for share, action in over_rest
            ]
        if self._questions.metadata:
            over_grpc.append((0.01, self._ask_as_nobody))
        return [action for _, action in over_grpc], [share for share, _ in over_grpc]

    def send(self, deadline: float) -> Reply:
        """The next request of a random sort; who is refused several times in a row is to wait longer."""
        actions, shares = self._actions
        reply = self._chance.choices(actions, shares)[0](deadline)
        if reply.code not in RETRYABLE:
            self._patience = _FIRST_WAIT
            return reply
        self._patience = min(_LONGEST_WAIT, 2 * self._patience)
        return dataclasses.replace(reply, pushback=max(reply.pushback or 0.0, self._patience))

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._rest is not None:
            self._rest.close()

    # -- over gRPC --------------------------------------------------------------------------------

    def _connected(self) -> Any:
        """The stubs of this client's connection, now and then of a new one."""
        if self._channel is not None and self._chance.random() < _RENEW:
            self._channel.close()
            self._channel = None
        if self._channel is None:
            self._channel = grpc.insecure_channel(self._address, options=CHANNEL)
        return v2_grpc.GRPCInferenceServiceStub(self._channel)

    def _ask(self, deadline: float) -> Reply:
        question = self._good()
        began = time.monotonic()
        reply = self._of_call(question, self._call(question.request, deadline))
        self._usual += _MEMORY * (time.monotonic() - began - self._usual)
        return reply

    def _ask_badly(self, deadline: float) -> Reply:
        question = self._chance.choice(self._questions.bad)
        self.model = question.name
        return self._of_call(question, self._call(question.request, deadline))

    def _expire(self, deadline: float) -> Reply:
        question = self._good()
        call = self._call(question.request, self._usual * self._chance.uniform(0.1, 1.0))
        return self._of_call(question, call, left="DEADLINE_EXCEEDED")

    def _cancel(self, deadline: float) -> Reply:
        question = self._good()
        call = self._call(question.request, deadline)
        time.sleep(self._usual * self._chance.uniform(0.0, 1.0))
        call.cancel()
        return self._of_call(question, call, left="CANCELLED")

    def _die(self, deadline: float) -> Reply:
        self.model = "a client that is killed"
        message = self._chance.choice(self._small)
        try:
            leaving.kill_clients(self._address, message, clients=1, each=1, metadata=self._questions.metadata)
        except (ConnectionError, subprocess.TimeoutExpired) as error:
            return Reply(code="UNAVAILABLE", details=str(error))
        return Reply(left=True)

    def _drop(self, deadline: float) -> Reply:
        self.model = "a connection that is dropped in mid body"
        host, _, port = self._address.rpartition(":")
        data = http2.call(
            self._chance.choice(self._small), authority=self._address, metadata=self._questions.metadata
        )
        drop(host, int(port), data[: self._chance.randrange(len(data))], chance=self._chance)
        return Reply(left=True)

    def _look_around(self, deadline: float) -> Reply:
        self.model = "health and metadata"
        model = self._good().request.model_name
        keyed = {"timeout": deadline, "metadata": self._questions.metadata}
        self.model = "health and metadata"
        try:
            stub = self._connected()
            stub.ServerReady(v2.ServerReadyRequest(), **keyed)
            stub.ModelReady(v2.ModelReadyRequest(name=model), **keyed)
            found = stub.ModelMetadata(v2.ModelMetadataRequest(name=model), **keyed)
        except grpc.RpcError as error:
            return self._typed(reply_of(error))
        return Reply(right=found.name == model)

    def _ask_as_nobody(self, deadline: float) -> Reply:
        question = self._good()
        self.model = "an unknown key"
        call = self._connected().ModelInfer.future(
            question.request, timeout=deadline, metadata=[("authorization", "Bearer nobody")]
        )
        return self._of_call(dataclasses.replace(question, answer=None, code="UNAUTHENTICATED"), call)

    def _good(self) -> Question:
        question = self._chance.choices(self._questions.good, self._shares)[0]
        self.model = question.name
        return question

    def _call(self, request: v2.ModelInferRequest, deadline: float) -> Any:
        return self._connected().ModelInfer.future(
            request, timeout=deadline, metadata=self._questions.metadata
        )

    def _of_call(self, question: Question, call: Any, *, left: str = "") -> Reply:
        """What became of a call; `left` is the status of one whose client leaves on purpose."""
        try:
            answer = call.result()
        except grpc.FutureCancelledError:
            return Reply(left=True, code="CANCELLED")
        except grpc.RpcError as error:
            reply = reply_of(error)
            if left and reply.code == left:
                return dataclasses.replace(reply, left=True)
            return self._typed(reply, code=question.code)
        if question.answer is None:
            return Reply(right=False, details=f"answered, and not refused with {question.code}")
        sample = Sample(request=question.request, expected=question.answer)
        flaw = sample.flaw(answer, tolerance=LOW_PRECISION_TOLERANCE)
        return Reply(right=not flaw, details=flaw)

    @staticmethod
    def _typed(reply: Reply, *, code: str = "OK") -> Reply:
        """A refusal is right if it is the expected one, or asks to try again."""
        return dataclasses.replace(reply, right=reply.code in (*RETRYABLE, code))

    # -- over REST --------------------------------------------------------------------------------

    def _ask_rest(self, deadline: float) -> Reply:
        assert self._rest is not None
        if self._chance.random() < _RENEW:
            self._rest.close()
        question = self._chance.choice(self._questions.rest)
        self.model = question.name
        reply, value = self._rest.analyze(
            question.photo, query=question.query, form=question.form, deadline=deadline
        )
        if reply.code != "OK":
            return self._typed(reply, code=question.code)
        right = question.code == "OK" and alike(value, question.value, tolerance=LOW_PRECISION_TOLERANCE)
        return dataclasses.replace(reply, right=right, details="" if right else "the answer differs")

    def _leave_rest(self, deadline: float) -> Reply:
        return self._from_rest(whole=True)

    def _drop_rest(self, deadline: float) -> Reply:
        return self._from_rest(whole=False)

    def _from_rest(self, *, whole: bool) -> Reply:
        assert self._rest is not None
        self.model = "a connection that is dropped " + ("before the answer" if whole else "in mid body")
        self._rest.leave(self._chance.choice(self._questions.rest).photo, chance=self._chance, whole=whole)
        return Reply(left=True)


def senders(address: str, questions: Questions, *, clients: int, rest_address: str = "") -> list[MakeSender]:
    """So many clients, each with its own chance."""

    def make(seed: int) -> MakeSender:
        return lambda: SoakSender(address, questions, rest_address=rest_address, seed=seed)

    return [make(seed) for seed in range(clients)]
