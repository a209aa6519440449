"""Admission before simulated hosts: full throughput, and answers in time at four times the capacity."""

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping

import pytest

from deploy.gateway.admission.admission import Admission
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Cost, Work
from qface_client.measuring.percentiles import percentile
from tests.helpers.simulated_triton import BatchingEngine, Instances, SimulatedTriton
from tests.helpers.virtual_time import run_in_virtual_time

MODEL = "m"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Host:
    """A simulated Triton with one model, and for how long it is watched."""

    make: Callable[[], SimulatedTriton]
    seconds: float


HOSTS = {
    "photos on two cores": Host(
        make=lambda: SimulatedTriton({MODEL: [Instances(0.1, count=4, cores=2)]}), seconds=100
    ),
    "crops on two cores": Host(
        make=lambda: SimulatedTriton(
            {MODEL: [Instances(0.004, count=1, cores=1), BatchingEngine(fixed=0.008, per_row=0.0098)]}
        ),
        seconds=40,
    ),
    "crops on a GPU": Host(
        make=lambda: SimulatedTriton(
            {
                MODEL: [
                    Instances(0.001, count=8, cores=8),
                    BatchingEngine(fixed=0.003, per_row=0.0002),
                    Instances(0.0005, count=4, cores=4),
                ]
            }
        ),
        seconds=2,
    ),
    "photos on a GPU": Host(
        make=lambda: SimulatedTriton(
            {MODEL: [Instances(0.010, count=16, cores=16), BatchingEngine(fixed=0.004, per_row=0.0005)]}
        ),
        seconds=3,
    ),
}


class Outcome:
    """What became of requests that came after the time to learn: latencies by model, refusals by reason."""

    def __init__(self) -> None:
        self.latencies: dict[str, list[float]] = {}
        self.refused: dict[str, int] = {}

    @property
    def p99(self) -> float:
        """Of all models together."""
        latencies = [seconds for of_model in self.latencies.values() for seconds in of_model]
        return percentile(latencies, 0.99)


async def capacity(triton: SimulatedTriton, *, total: int = 1500) -> float:
    """Requests a second with as many at a time as the host likes."""
    loop = asyncio.get_running_loop()
    finished, count = loop.create_future(), 0

    def done() -> None:
        nonlocal count
        count += 1
        if count == total:
            finished.set_result(None)
        elif count < total:
            triton.infer(MODEL, rows=1, done=done)

    for _ in range(256):
        triton.infer(MODEL, rows=1, done=done)
    await finished
    return total / loop.time()


ONE_FACE = Cost(bytes=1000)
SLOW_PICTURE = Cost(bytes=1000, pixels=49_000_000, scan_pixels=290_000_000)
_PIXELS_PER_FACE = 7_000_000  # whose decoding takes a simulated host as long as a face


async def offered(
    triton: SimulatedTriton,
    *,
    rates: Mapping[str, float],
    seconds: float,
    costs: Mapping[str, Cost] | None = None,
) -> Outcome:
    """Independent (Poisson) arrivals at these rates, for `seconds` after half of them to learn in."""
    loop = asyncio.get_running_loop()
    admission = Admission(Limits(), clock=loop.time)
    outcome = Outcome()

    async def one(model: str) -> None:
        began = loop.time()
        counts = began > seconds / 2
        cost = (costs or {}).get(model, ONE_FACE)
        try:
            slot = await admission.enter(Work(model=model, cost=cost))
        except Refusal as refusal:
            if counts:
                outcome.refused[refusal.reason] = outcome.refused.get(refusal.reason, 0) + 1
            return
        sent, answered = loop.time(), loop.create_future()
        rows = cost.rows + cost.scan_pixels // _PIXELS_PER_FACE
        triton.infer(model, rows=rows, done=lambda: answered.set_result(None))
        await answered
        admission.leave(slot, triton_seconds=loop.time() - sent)
        if counts:
            outcome.latencies.setdefault(model, []).append(loop.time() - began)

    async def arrivals(model: str, rate: float) -> None:
        gaps, at, tasks = random.Random(model), 0.0, set()
        while at < seconds * 1.5:
            task = loop.create_task(one(model))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            at += gaps.expovariate(rate)
            await asyncio.sleep(at - loop.time())
        await asyncio.gather(*tasks)

    await asyncio.gather(*(arrivals(model, rate) for model, rate in rates.items()))
    assert (admission.waiting, admission.in_flight, admission.waiting_bytes) == (0, 0, 0)
    return outcome


@pytest.mark.parametrize("name", HOSTS)
def test_at_four_times_the_capacity_what_is_accepted_is_answered_in_time(name: str) -> None:
    host = HOSTS[name]
    most = run_in_virtual_time(capacity(host.make()))
    usual, overload = (
        run_in_virtual_time(offered(host.make(), rates={MODEL: load * most}, seconds=host.seconds))
        for load in (0.8, 4)
    )
    assert sum(usual.refused.values()) <= 0.005 * len(usual.latencies[MODEL])
    assert overload.p99 <= 3 * usual.p99
    assert len(overload.latencies[MODEL]) / host.seconds >= 0.9 * most
    # Nearly all refusals come at once, not after a wait in vain.
    assert overload.refused.get("queue_timeout", 0) <= 0.05 * sum(overload.refused.values())


def test_of_batches_of_32_that_take_long_two_are_let_in_at_a_time() -> None:
    host = HOSTS["crops on two cores"].make()
    outcome = run_in_virtual_time(
        offered(host, rates={MODEL: 12}, costs={MODEL: Cost(bytes=1000, rows=32)}, seconds=60)
    )
    assert len(outcome.latencies[MODEL]) / 60 >= 0.9 * 98 / 32
    assert outcome.p99 <= 1.5  # of which a batch's own time is 0.45


def test_photos_and_crops_share_one_budget() -> None:
    """An overload of both: each gets its part, and what is accepted is answered in time."""

    def triton() -> SimulatedTriton:
        engine = BatchingEngine(fixed=0.008, per_row=0.01)
        photos, crops = Instances(0.06, count=4, cores=1.5), Instances(0.004, count=1, cores=1)
        return SimulatedTriton({"photo": [photos, engine], "crop": [crops, engine]})

    overload = run_in_virtual_time(offered(triton(), rates={"photo": 100, "crop": 100}, seconds=60))
    accepted = {model: len(taken) / 60 for model, taken in overload.latencies.items()}
    rates = {model: 0.8 * rate for model, rate in accepted.items()}
    usual = run_in_virtual_time(offered(triton(), rates=rates, seconds=60))
    assert min(accepted.values()) >= 20
    assert overload.p99 <= 3 * usual.p99


def test_pictures_that_take_seconds_do_not_keep_others_waiting() -> None:
    """Each keeps an instance busy for 4 s, and more of them come than can be answered."""
    instances = Instances(0.1, count=4, cores=2)
    triton = SimulatedTriton({"photo": [instances], "slow": [instances]})
    outcome = run_in_virtual_time(
        offered(triton, rates={"photo": 5, "slow": 3}, costs={"slow": SLOW_PICTURE}, seconds=120)
    )
    assert len(outcome.latencies["photo"]) / 120 >= 0.97 * 5
    assert percentile(outcome.latencies["photo"], 0.99) <= 1.2
    assert outcome.latencies["slow"]
