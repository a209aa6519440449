"""Every answer states where its time went, to the one who asked for it."""

import re
from types import SimpleNamespace

import grpc
import pytest

from deploy.gateway.front import call as calls
from deploy.gateway.front.call import InferenceCall
from deploy.gateway.observability.server_timing import METADATA, ServerTiming
from deploy.gateway.refusals import Refusal
from deploy.gateway.tracing.request_trace import UNTRACED
from deploy.gateway.work import Ticket
from tests.helpers.fronts import RunningFront, crops_request, error_of, with_front


async def timing_of(running: RunningFront) -> dict[str, float]:
    """Milliseconds by name, as they came with an answer."""
    call = running.service.ModelInfer(crops_request())
    await call
    stated = dict(await call.trailing_metadata())[METADATA]
    assert re.fullmatch(r"\w+;dur=\d+\.\d\d(, \w+;dur=\d+\.\d\d)*", stated)
    return {name: float(value) for name, value in re.findall(r"(\w+);dur=([\d.]+)", stated)}


def test_an_answer_states_all_of_its_time_and_what_it_was_spent_on() -> None:
    async def test(running: RunningFront) -> None:
        timing = await timing_of(running)
        assert list(timing) == ["total", "queue", "triton"]
        assert 0 < timing["triton"] <= timing["total"]

    with_front(test)


def test_the_wait_for_admission_is_the_tickets() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.queued_seconds = 0.25
        assert (await timing_of(running))["queue"] == 250

    with_front(test)


def test_a_refusal_states_nothing_of_the_server() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.refusal = Refusal(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", reason="queue", retry_after=0.25
        )
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert METADATA not in dict(error.trailing_metadata())
        running.authority.refusal = None
        running.triton.errors = [(grpc.StatusCode.INVALID_ARGUMENT, "this is no picture")]
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert METADATA not in dict(error.trailing_metadata())

    with_front(test)


def test_attempts_are_added_and_what_lies_between_them_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: clock))
    call = InferenceCall(context=None, trace=UNTRACED, began=clock)
    call.ticket = Ticket(number=1, backend=1, address="", queued_seconds=0.5)
    clock = 101.0
    call.sending()
    clock = 103.0
    call.attempted("UNAVAILABLE")
    clock = 110.0  # another Triton was found
    call.sending()
    clock = 114.0
    call.attempted()
    clock = 115.0
    assert call.timing() == ServerTiming(total=15.0, queue=0.5, triton=6.0)


def test_its_text_is_a_server_timing_header_in_milliseconds() -> None:
    timing = ServerTiming(total=0.0123456, queue=0.0, triton=0.011)
    assert timing.to_text() == "total;dur=12.35, queue;dur=0.00, triton;dur=11.00"
    assert timing.to_text(json=0.001).endswith(", json;dur=1.00")
