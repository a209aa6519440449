"""What goes to Triton at once, what waits and for how long, and what is refused."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import pytest

from build.serving.batching_and_queues import MAX_QUEUED
from deploy.gateway.admission.admission import Admission, Slot
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal, unavailable
from deploy.gateway.work import Cost, Work
from tests.helpers.virtual_time import run_in_virtual_time

BUSY = 4  # requests that are let in before anything was measured

Scenario = Callable[[], Coroutine[Any, Any, None]]


def work(*, rows: int = 1, size: int = 1000, priority: int = 0, seconds_left: float | None = None) -> Work:
    return Work(model="m", cost=Cost(bytes=size, rows=rows), priority=priority, seconds_left=seconds_left)


def admission(**limits: Any) -> Admission:
    return Admission(Limits(**limits), clock=asyncio.get_running_loop().time)


async def fill(entered: Admission, count: int = BUSY) -> list[Slot]:
    """As many requests as go at once, so that the next one waits."""
    return [await entered.enter(work()) for _ in range(count)]


async def teach(entered: Admission, *, seconds: float, rounds: int = 40) -> None:
    """Shows the admission a Triton that has BUSY requests at work and takes `seconds` for each."""
    for _ in range(rounds):
        for slot in await fill(entered):
            entered.leave(slot, triton_seconds=seconds)


def start(entered: Admission, **of_work: Any) -> asyncio.Task[Slot]:
    return asyncio.get_running_loop().create_task(entered.enter(work(**of_work)))


async def fill_up(entered: Admission) -> list[Slot]:
    """All that goes at once and all that may wait; what was let in."""
    tasks = [start(entered) for _ in range(100)]
    await settle()
    done = [task for task in tasks if task.done() and task.exception() is None]
    return [task.result() for task in done]


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def in_virtual_time(scenario: Scenario) -> Callable[[], None]:
    @functools.wraps(scenario)
    def test() -> None:
        run_in_virtual_time(scenario())

    return test


@in_virtual_time
async def test_what_finds_room_goes_at_once() -> None:
    entered = admission()
    slot = await entered.enter(work())
    assert slot.queued_seconds == 0
    assert (entered.in_flight, entered.waiting, entered.waiting_bytes) == (1, 0, 1000)
    entered.leave(slot, triton_seconds=0.01)
    assert (entered.in_flight, entered.waiting_bytes) == (0, 0)


@in_virtual_time
async def test_what_waits_goes_in_the_order_of_its_coming_and_priority_1_first() -> None:
    entered = admission()
    slots = await fill(entered)
    order: list[str] = []

    async def one(name: str, priority: int) -> None:
        slot = await entered.enter(work(priority=priority))
        order.append(name)
        entered.leave(slot, triton_seconds=0.01)

    arrivals = (("a", 0), ("b", 2), ("first", 1), ("c", 0), ("second", 1))
    tasks = [asyncio.ensure_future(one(name, priority)) for name, priority in arrivals]
    await settle()
    assert entered.waiting == 5
    entered.leave(slots[0], triton_seconds=0.01)
    await asyncio.gather(*tasks)
    assert order == ["first", "second", "a", "b", "c"]


@in_virtual_time
async def test_no_newcomer_overtakes_what_waits() -> None:
    entered = admission()
    slots = await fill(entered)
    large = start(entered, rows=8)
    await settle()
    entered.leave(slots[0], triton_seconds=None)
    small = start(entered)
    await settle()
    assert entered.waiting == 2
    for slot in slots[1:]:
        entered.leave(slot, triton_seconds=None)
    entered.leave(await large, triton_seconds=None)
    await small


@in_virtual_time
async def test_what_waited_too_long_is_refused_and_the_rest_goes_on_waiting() -> None:
    entered = admission(queue_seconds=0.5)
    slots = await fill(entered)
    old = start(entered)
    await asyncio.sleep(0.3)
    young = start(entered)
    await asyncio.sleep(0.25)
    with pytest.raises(Refusal) as refused:
        await old
    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "queue_timeout"
    assert refused.value.retry_after is not None
    assert not young.done()
    assert entered.oldest_wait == pytest.approx(0.25)
    entered.leave(slots[0], triton_seconds=None)
    assert (await young).queued_seconds == pytest.approx(0.25)


@in_virtual_time
async def test_what_would_wait_too_long_is_refused_at_once_with_when_to_come_again() -> None:
    entered = admission(queue_seconds=0.5)
    await teach(entered, seconds=0.2)  # 20 a second: 10 of them wait half a second
    await fill_up(entered)
    assert 5 <= entered.waiting <= 10
    with pytest.raises(Refusal) as refused:
        await entered.enter(work())
    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "overload"
    assert refused.value.retry_after == pytest.approx(0.4, abs=0.15)


@in_virtual_time
async def test_priority_1_is_not_refused_for_the_wait_of_others() -> None:
    entered = admission()
    await teach(entered, seconds=0.2)
    slots = await fill_up(entered)
    preferred = start(entered, priority=1)
    await settle()
    assert not preferred.done()
    for slot in slots:
        entered.leave(slot, triton_seconds=0.2)
    await preferred


@in_virtual_time
async def test_what_can_t_be_answered_before_its_deadline_is_refused_at_once() -> None:
    entered = admission()
    await teach(entered, seconds=0.2)
    await fill_up(entered)
    with pytest.raises(Refusal) as refused:
        await entered.enter(work(seconds_left=0.1, priority=1))
    assert refused.value.reason == "deadline"
    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    patient = start(entered, seconds_left=1.0, priority=1)
    await settle()
    assert not patient.done()


@in_virtual_time
async def test_memory_is_bounded_and_one_request_always_fits() -> None:
    entered = admission(waiting_bytes=5000)
    slot = await entered.enter(work(size=9000))
    with pytest.raises(Refusal) as refused:
        await entered.enter(work(size=1))
    assert refused.value.reason == "memory"
    entered.leave(slot, triton_seconds=None)
    await entered.enter(work(size=1))


@in_virtual_time
async def test_who_cancels_gives_up_the_place_and_holds_nothing() -> None:
    entered = admission()
    slots = await fill(entered)
    gone, stays = start(entered), start(entered)
    await settle()
    gone.cancel()
    await settle()
    assert entered.waiting == 1
    assert entered.waiting_bytes == (BUSY + 1) * 1000
    entered.leave(slots[0], triton_seconds=None)
    await stays


@in_virtual_time
async def test_who_cancels_in_the_moment_of_admission_gives_the_slot_back() -> None:
    entered = admission()
    slots = await fill(entered)
    gone, stays = start(entered), start(entered)
    await settle()
    entered.leave(slots[0], triton_seconds=None)
    gone.cancel()
    await stays
    assert entered.in_flight == BUSY
    assert entered.waiting_bytes == BUSY * 1000


@in_virtual_time
async def test_while_held_nothing_goes_and_what_gets_too_old_gets_the_reason() -> None:
    entered = admission(queue_seconds=0.5)
    entered.hold(unavailable("The server is starting.", reason="starting", retry_after=1.0))
    early = start(entered)
    await asyncio.sleep(0.3)
    late = start(entered)
    await asyncio.sleep(0.3)
    with pytest.raises(Refusal, match="starting") as refused:
        await early
    assert refused.value.code == grpc.StatusCode.UNAVAILABLE
    assert refused.value.retry_after == 1.0
    entered.release()
    assert (await late).queued_seconds == pytest.approx(0.3)


@in_virtual_time
async def test_closed_it_takes_nothing_more_and_answers_what_it_took() -> None:
    entered = admission()
    slots = await fill(entered)
    waits = start(entered)
    await settle()
    entered.close(unavailable("The server is stopping.", reason="stopping", retry_after=1.0))
    with pytest.raises(Refusal, match="stopping"):
        await entered.enter(work())
    drained = asyncio.ensure_future(entered.drained())
    for slot in slots:
        entered.leave(slot, triton_seconds=0.01)
    slot = await waits
    await settle()
    assert not drained.done()
    entered.leave(slot, triton_seconds=0.01)
    await drained


@in_virtual_time
async def test_drained_returns_when_the_last_that_waited_was_refused() -> None:
    entered = admission(queue_seconds=0.5)
    entered.hold(unavailable("The server is starting.", reason="starting", retry_after=1.0))
    waits = start(entered)
    await settle()
    await entered.drained()
    with pytest.raises(Refusal):
        await waits


@in_virtual_time
async def test_no_more_is_in_flight_than_the_limit_whatever_was_learned() -> None:
    entered = admission(in_flight=2)
    await fill(entered, 2)
    third = start(entered)
    await settle()
    assert not third.done()


@in_virtual_time
async def test_large_requests_go_two_at_a_time_and_the_others_don_t_wait_for_them() -> None:
    entered = admission()
    await teach(entered, seconds=0.01)
    slots = [await entered.enter(work(rows=45)) for _ in range(2)]
    third = start(entered, rows=45)
    await settle()
    assert not third.done()
    await fill(entered)
    entered.leave(slots[0], triton_seconds=None)
    await third


@in_virtual_time
async def test_a_picture_that_takes_long_to_decode_is_large_before_any_was_measured() -> None:
    entered = admission()
    slow = Work(model="m", cost=Cost(bytes=1, pixels=49_000_000, scan_pixels=290_000_000))
    for _ in range(2):
        await entered.enter(slow)
    with pytest.raises(Refusal) as refused:
        await entered.enter(slow)
    assert refused.value.reason == "overload"
    await fill(entered)


@in_virtual_time
async def test_a_longer_queue_than_the_default_lets_more_wait() -> None:
    waiting = []
    for factor in (1, 100):
        entered = admission(queue_seconds=factor * Limits().queue_seconds)
        await teach(entered, seconds=0.1)
        await fill_up(entered)
        waiting.append(entered.waiting)
    assert waiting[0] < 50 < waiting[1]  # of 100


def test_triton_s_own_queues_take_all_that_is_let_in() -> None:
    """A queue of Triton's that is full would refuse what was accepted."""
    assert Limits().in_flight <= MAX_QUEUED
