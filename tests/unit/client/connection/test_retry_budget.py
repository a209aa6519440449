"""All retries of a client together are bounded, and none is lost by it: by a clock that the test moves."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import (
    ConnectError,
    FaceClient,
    InvalidInput,
    NotAuthorized,
    NotServed,
    QFaceError,
    RetryBudget,
    ServerBusy,
    ServerError,
    UnknownTask,
)
from qface_client._exchange.budget import RetryTokens
from qface_client._exchange.retries import Retries
from qface_client._exchange.steps import Pause, ReadModel
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, refuse, serve

PHOTO = np.zeros((80, 100, 3), np.uint8)
STEP = ReadModel(model="m", timeout=60.0)
SHORT = ReadModel(model="m", timeout=20.0)
ROUND_TRIP = 0.002


class Server:
    """Takes a number of requests at a time, which changes with the time; the others are turned away."""

    def __init__(self, at_a_time: Callable[[float], int], *, seconds: float, pushback: float = 0.0) -> None:
        self._at_a_time = at_a_time
        self._seconds = seconds
        self._busy = ServerBusy("full", retry_after=pushback)
        self._ends: list[float] = []
        self.asked_at: list[float] = []

    def ask(self, now: float) -> tuple[float, Any]:
        """When it answers, and what."""
        self.asked_at.append(now)
        self._ends = [end for end in self._ends if end > now]
        if len(self._ends) >= self._at_a_time(now):
            return now + ROUND_TRIP, self._busy
        self._ends.append(now + self._seconds)
        return now + self._seconds, "answer"


class Calls:
    """Many calls of one client at the same time, in virtual time."""

    def __init__(self, server: Server, budget: RetryBudget | None = None, *, step: ReadModel = STEP) -> None:
        self.now = 0.0
        self.answered_at: list[float] = []
        self.errors: list[QFaceError] = []
        self._server = server
        self._step = step
        self._order = itertools.count()
        self._due: list[tuple[float, int, Any, Any]] = []
        self.retries = Retries(
            enabled=True, connect=10.0, budget=budget, clock=lambda: self.now, jitter=random.Random(1).random
        )

    def start(self, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._order), None, None))

    def run(self) -> None:
        """Until all have ended."""
        while self._due:
            self.now, _, steps, outcome = heapq.heappop(self._due)
            try:
                if steps is None:
                    steps = self.retries.send(self._step)
                    step = next(steps)
                elif isinstance(outcome, Exception):
                    step = steps.throw(outcome)
                else:
                    step = steps.send(outcome)
            except StopIteration:
                self.answered_at.append(self.now)
            except QFaceError as error:
                self.errors.append(error)
            else:
                at, outcome = (
                    (self.now + step.seconds, None) if isinstance(step, Pause) else self._server.ask(self.now)
                )
                heapq.heappush(self._due, (at, next(self._order), steps, outcome))


@pytest.mark.parametrize("at_a_time", [2, 8])
@pytest.mark.parametrize("pushback", [0.0, 0.5])
def test_150_calls_at_once_are_all_answered_by_a_server_that_takes_a_few_at_a_time(
    at_a_time: int, pushback: float
) -> None:
    server = Server(lambda now: at_a_time, seconds=0.2, pushback=pushback)
    calls = Calls(server)
    for _ in range(150):
        calls.start(0.0)
    calls.run()
    assert (len(calls.answered_at), calls.errors) == (150, [])
    # Not much later than a server that is never idle would have answered the last one.
    assert max(calls.answered_at) < 2 * 150 * 0.2 / at_a_time + 5


def test_a_server_that_is_down_gets_a_trickle_from_however_many_threads() -> None:
    def sent_again(budget: RetryBudget) -> int:
        server = Server(lambda now: 0, seconds=0.2)
        calls = Calls(server, budget, step=SHORT)
        for _ in range(100):
            calls.start(0.0)
        calls.run()
        assert len(calls.errors) == 100
        return len(server.asked_at) - 100

    budget = RetryBudget()
    assert sent_again(budget) <= budget.burst + 20 * budget.per_second
    # As it was without a bound: 15 and more tries of each call.
    assert sent_again(RetryBudget(per_second=float("inf"))) > 1000


def test_calls_that_waited_for_a_server_are_answered_soon_after_it_is_back() -> None:
    server = Server(lambda now: 16 if now > 10 else 0, seconds=0.1)
    calls = Calls(server)
    for _ in range(200):
        calls.start(0.0)
    calls.run()
    assert (len(calls.answered_at), calls.errors) == (200, [])
    assert max(calls.answered_at) < 30


def test_a_call_without_a_token_by_its_deadline_ends_with_the_last_refusal_and_names_the_budget() -> None:
    calls = Calls(Server(lambda now: 0, seconds=0.2), RetryBudget(per_second=0.001, burst=2))
    for _ in range(4):
        calls.start(0.0)
    calls.run()
    for error in calls.errors:
        assert isinstance(error, ServerBusy)
        assert error.retryable
        assert "full (" in str(error)
        assert "none was left of this client's retry_budget" in str(error)
    assert calls.now > 59


def test_first_tries_and_answers_that_need_no_retry_take_no_token() -> None:
    calls = Calls(Server(lambda now: 1000, seconds=0.01), RetryBudget(per_second=0.001, burst=0))
    for _ in range(300):
        calls.start(0.0)
    calls.run()
    assert len(calls.answered_at) == 300


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("no picture"),
        UnknownTask(["mood"], available=["age"]),
        NotAuthorized("no key"),
        NotServed("no model"),
        ServerError("boom"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_never_sent_again_takes_no_token(error: QFaceError) -> None:
    calls = Calls(Server(lambda now: 0, seconds=0.1), RetryBudget(per_second=0.001, burst=1))
    for _ in range(10):
        steps = calls.retries.send(STEP)
        next(steps)
        with pytest.raises(type(error)):
            steps.throw(error)
    assert finish(calls.retries._tokens.take(until=0.0)) is True  # the one token is still there


def finish(steps: Any) -> Any:
    """The result of steps that need not wait."""
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def test_waiting_retries_are_served_in_their_order() -> None:
    now = [0.0]
    tokens = RetryTokens(RetryBudget(per_second=1, per_answer=1, burst=0), clock=lambda: now[0])
    waiting = [tokens.take(until=100.0) for _ in range(5)]
    for steps in waiting:
        assert isinstance(next(steps), Pause)
    tokens.answered()
    tokens.answered()
    for steps in reversed(waiting[2:]):  # who looks first is not who goes first
        assert isinstance(steps.send(None), Pause)
    assert [finish(steps) for steps in waiting[:2]] == [True, True]
    now[0] += 1.0
    assert isinstance(waiting[3].send(None), Pause)
    assert finish(waiting[2]) is True


def test_a_call_that_stops_waiting_leaves_its_place_and_its_token_to_the_next() -> None:
    now = [0.0]
    tokens = RetryTokens(RetryBudget(per_second=1, per_answer=1, burst=0), clock=lambda: now[0])
    first, second, third = waiting = [tokens.take(until=100.0) for _ in range(3)]
    for steps in waiting:
        next(steps)
    second.close()  # as a cancelled call does
    tokens.answered()
    first.close()  # its token was there already
    assert finish(third) is True
    assert finish(tokens.take(until=0.0)) is False


def test_no_more_is_saved_up_than_the_burst() -> None:
    now = [0.0]
    tokens = RetryTokens(RetryBudget(per_second=1, per_answer=1, burst=3), clock=lambda: now[0])
    now[0] = 1000.0
    for _ in range(1000):
        tokens.answered()
    results = [finish(tokens.take(until=now[0])) for _ in range(5)]
    assert results == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"per_second": 0}, "per_second is a number above 0"),
        ({"per_second": float("nan")}, "per_second is a number above 0"),
        ({"per_answer": -1}, "per_answer is a finite number"),
        ({"burst": float("inf")}, "burst is a finite number"),
    ],
)
def test_a_budget_that_could_not_be_kept_is_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RetryBudget(**arguments)


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    yield from serve(fake)


def test_a_client_keeps_the_budget_that_it_was_given(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait")
    budget = RetryBudget(per_second=0.1, per_answer=0, burst=2)
    with (
        FaceClient(url, timeout=0.5, retry_budget=budget) as client,
        pytest.raises(ServerBusy, match=r"too many wait.*tries in .* retry_budget"),
    ):
        client.analyze(PHOTO)
    assert 1 < fake.infers <= 3


def test_a_server_that_cannot_be_reached_is_no_reason_to_wait_past_the_first_contact() -> None:
    calls = Calls(Server(lambda now: 0, seconds=0.2), RetryBudget(per_second=0.001, burst=0))
    calls._server._busy = ConnectError("refused", retry_after=0.0)  # type: ignore[assignment]
    calls.start(0.0)
    calls.run()
    assert isinstance(calls.errors[0], ConnectError)
    assert calls.now <= 1.0
