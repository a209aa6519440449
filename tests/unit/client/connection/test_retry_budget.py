"""All retries of a client together are bounded, and none is lost by it: by a clock that the test moves."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest

from deploy.benchmark.retry_budget import Server, simulate
from qface_client import (
    AsyncFaceClient,
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
from qface_client._exchange.steps import Pause
from tests.helpers.fake_v2_server import FakeServer, refuse

PHOTO = np.zeros((80, 100, 3), np.uint8)


@pytest.mark.parametrize("at_a_time", [2, 8])
@pytest.mark.parametrize("pushback", [0.0, 0.5])
def test_150_calls_at_once_are_all_answered_by_a_server_that_takes_a_few_at_a_time(
    at_a_time: int, pushback: float
) -> None:
    server = Server(lambda now: at_a_time, seconds=0.2, pushback=pushback)
    calls = simulate(server, None, calls=150)
    assert (len(calls.answered_at), calls.errors) == (150, [])
    # Not much later than a server that is never idle would have answered the last one.
    assert max(calls.answered_at) < 2 * 150 * 0.2 / at_a_time + 5


def test_a_server_that_is_down_gets_a_trickle_from_however_many_threads() -> None:
    def sent_again(budget: RetryBudget) -> int:
        server = Server(lambda now: 0, seconds=0.2)
        assert len(simulate(server, budget, calls=100, timeout=20.0).errors) == 100
        return server.requests - 100

    budget = RetryBudget()
    assert sent_again(budget) <= budget.burst + 20 * budget.per_second
    # As it was without a bound: 15 and more tries of each call.
    assert sent_again(RetryBudget(per_second=float("inf"))) > 1000


def test_calls_that_waited_for_a_server_are_answered_soon_after_it_is_back() -> None:
    server = Server(lambda now: 16 if now > 10 else 0, seconds=0.1)
    calls = simulate(server, None, calls=200)
    assert (len(calls.answered_at), calls.errors) == (200, [])
    assert max(calls.answered_at) < 30


def test_a_call_without_a_token_by_its_deadline_ends_with_the_last_refusal_and_names_the_budget() -> None:
    budget = RetryBudget(per_second=0.001, burst=2)
    calls = simulate(Server(lambda now: 0, seconds=0.2), budget, calls=4)
    for error in calls.errors:
        assert isinstance(error, ServerBusy)
        assert error.retryable
        assert "full (" in str(error)
        assert "waited for this client's retry_budget" in str(error)
    assert calls.ended_at > 59


def test_first_tries_and_answers_that_need_no_retry_take_no_token() -> None:
    budget = RetryBudget(per_second=0.001, burst=0)
    calls = simulate(Server(lambda now: 1000, seconds=0.01), budget, calls=300)
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
def test_what_another_try_cannot_mend_is_never_sent_again(error: QFaceError) -> None:
    server = Server(lambda now: 0, seconds=0.1)
    server.refusal = error
    calls = simulate(server, RetryBudget(), calls=10)
    assert calls.errors == [error] * 10
    assert server.requests == 10


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


def test_who_waits_gets_a_token_though_none_is_saved_up() -> None:
    now = [0.0]
    tokens = RetryTokens(RetryBudget(per_second=1, per_answer=0, burst=0), clock=lambda: now[0])
    steps = tokens.take(until=10.0)
    for _ in steps:
        now[0] += 0.1  # as often as a waiting retry looks
    assert now[0] == pytest.approx(1.0, abs=0.2)


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


def test_a_client_keeps_the_budget_that_it_was_given(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait")
    budget = RetryBudget(per_second=0.1, per_answer=0, burst=2)
    with (
        FaceClient(url, timeout=0.5, retry_budget=budget) as client,
        pytest.raises(ServerBusy, match=r"too many wait.*tries in .* retry_budget"),
    ):
        client.analyze(PHOTO)
    assert 1 < fake.infers <= 3


def test_cancelled_calls_leave_the_queue_though_their_errors_are_kept(fake: FakeServer, url: str) -> None:
    async def run() -> None:
        budget = RetryBudget(per_second=2, per_answer=0, burst=0)
        async with AsyncFaceClient(url, timeout=5, retry_budget=budget) as client:
            await client.contract()
            fake.before_infer = refuse(40, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait")
            calls = [asyncio.create_task(client.analyze(b"photo")) for _ in range(40)]
            while fake.infers < 40:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # past the first pause, into the queue
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            fake.before_infer = refuse(fake.infers + 1, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait")
            assert len(await client.analyze(b"photo")) == 1

    asyncio.run(run())


def test_a_server_that_cannot_be_reached_is_no_reason_to_wait_past_the_first_contact() -> None:
    server = Server(lambda now: 0, seconds=0.2)
    server.refusal = ConnectError("refused", retry_after=0.0)
    calls = simulate(server, RetryBudget(per_second=0.001, burst=0), calls=1)
    assert isinstance(calls.errors[0], ConnectError)
    assert calls.ended_at <= 1.0


def test_what_is_no_budget_is_refused_when_the_client_is_made() -> None:
    with pytest.raises(TypeError, match="retry_budget is a RetryBudget, not 5"):
        FaceClient("localhost:8001", retry_budget=5)  # type: ignore[arg-type]
