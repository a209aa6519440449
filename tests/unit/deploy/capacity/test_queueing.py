"""The simulated server against the textbooks: where its parts are left out, it is a queue with a formula."""

import math

import numpy as np
import pytest

from deploy.capacity.queueing.loads import (
    BALANCINGS,
    IN_TURN,
    LESS_BUSY,
    RANDOM,
    closed_loop,
    open_loop,
    replayed,
)
from deploy.capacity.queueing.service_times import Engine, ServiceTimes, Step, Work

NOTHING, ALL = Work(), 1e9
SERVICE = 0.01  # seconds


def only_cores(count: int, *, spread: tuple[float, ...] = (1.0,), turn: float = math.inf) -> ServiceTimes:
    """A server whose requests take SERVICE of one of its cores, and nothing else."""
    return ServiceTimes(
        cores=count,
        gateway=NOTHING,
        triton=Work(alone=SERVICE, busy=SERVICE),
        engine=Engine(),
        rows=0.0,
        turn=turn,
        spread=np.array(spread),
        in_flight=ALL,
    )


def exponential() -> tuple[float, ...]:
    """Factors with mean 1 that are exponential, as closely as 2,000 of them are."""
    quantiles = -np.log1p(-(np.arange(2000) + 0.5) / 2000)
    return tuple((quantiles / quantiles.mean()).tolist())


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request has to wait (M/M/c); load: of each server."""
    offered = servers * load
    waits = offered**servers / math.factorial(servers) / (1 - load)
    return waits / (sum(offered**k / math.factorial(k) for k in range(servers)) + waits)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_equal_times_on_one_core_wait_as_pollaczek_and_khinchine_have_it(load: float) -> None:
    outcome = open_loop(only_cores(1), rate=load / SERVICE, requests=20_000, seed=0)
    waits = outcome.mean - SERVICE
    assert waits == pytest.approx(SERVICE * load / (2 * (1 - load)), rel=0.06)
    assert outcome.busy["cores"] == pytest.approx(load, rel=0.02)


@pytest.mark.parametrize("turn", [math.inf, SERVICE / 20])
def test_exponential_times_on_one_core_take_as_long_in_turns_as_one_after_the_other(turn: float) -> None:
    load = 0.7
    outcome = open_loop(
        only_cores(1, spread=exponential(), turn=turn), rate=load / SERVICE, requests=10_000, seed=1
    )
    assert outcome.mean == pytest.approx(SERVICE / (1 - load), rel=0.08)


@pytest.mark.parametrize(("cores", "load"), [(2, 0.6), (4, 0.8)])
def test_exponential_times_on_several_cores_wait_as_erlang_has_it(cores: int, load: float) -> None:
    times = only_cores(cores, spread=exponential())
    outcome = open_loop(times, rate=cores * load / SERVICE, requests=18_000, seed=2)
    expected = SERVICE * erlang_c(cores, load) / (cores * (1 - load))
    assert outcome.mean - SERVICE == pytest.approx(expected, rel=0.1)


def test_equal_times_on_several_cores_wait_about_half_as_long_as_exponential_ones() -> None:
    load, cores = 0.8, 4
    outcome = open_loop(only_cores(cores), rate=cores * load / SERVICE, requests=18_000, seed=3)
    # Cosmetatos' approximation of M/D/c, good to a few per cent.
    correction = 1 + (1 - load) * (cores - 1) * (math.sqrt(4 + 5 * cores) - 2) / (16 * cores * load)
    expected = SERVICE * erlang_c(cores, load) / (cores * (1 - load)) / 2 * correction
    assert outcome.mean - SERVICE == pytest.approx(expected, rel=0.1)


def test_short_work_waits_for_the_end_of_a_turn_and_not_of_the_long_work() -> None:
    times = ServiceTimes(
        cores=1,
        gateway=NOTHING,
        triton=Work(alone=1.0, busy=1.0),
        engine=Engine(),
        rows=0.0,
        turn=0.004,
        spread=np.array([1.0]),
        in_flight=ALL,
    )
    short = ServiceTimes(
        cores=1, gateway=NOTHING, triton=Work(alone=0.001, busy=0.001), engine=Engine(), rows=0.0
    )
    assert open_loop(short, rate=0.001, requests=20, seed=0).longest_of(1.0) == pytest.approx(0.001)
    both = replayed(times, np.array([0.0, 0.5]), seed=0)
    assert sorted(both.seconds.tolist()) == pytest.approx([1.496, 1.5], abs=0.01)


# -- batches ----------------------------------------------------------------------------------------


def with_engine(**changed: object) -> ServiceTimes:
    """Two cores, a photo's step of six processes, and an engine that cuts batches over two streams."""
    defaults: dict[str, object] = {
        "cores": 2,
        "gateway": Work(alone=0.002, busy=0.0015),
        "triton": Work(alone=0.002, busy=0.001),
        "engine": Engine(streams=2, part=Work(alone=0.003, busy=0.003), row=Work(alone=0.010, busy=0.010)),
        "before": [
            Step(name="photo", processes=6, work=Work(alone=0.012, busy=0.012), holds=True),
        ],
        "behind": [Step(name="post", processes=1, work=Work(alone=0.001, busy=0.0005))],
    }
    return ServiceTimes(**{**defaults, **changed})  # type: ignore[arg-type]


def on_device(**seconds: float) -> ServiceTimes:
    return with_engine(engine=Engine(max_batch=8, seconds={1: 0.004, 8: 0.008}), before=[], **seconds)


@pytest.mark.parametrize("balancing", list(BALANCINGS))
@pytest.mark.parametrize("rate", [20.0, 200.0])
def test_every_request_is_answered_or_refused_once(balancing: str, rate: float) -> None:
    outcome = open_loop(
        with_engine(rows=1.5), rate=rate, requests=2000, seed=4, balancing=balancing, replicas=4, sample=4
    )
    assert outcome.offered == 1800, "the first tenth is the warm-up"
    assert 0 <= outcome.refused_share <= 1
    assert (outcome.refused_share > 0.3) == (rate == 200.0), "a server of 60 a second refuses most of 200"
    assert outcome.seconds.min() > 0.02


def test_batches_grow_with_the_load_and_never_beyond_the_largest() -> None:
    batches = [
        open_loop(on_device(), rate=rate, requests=3000, seed=5).batch for rate in (20.0, 150.0, 400.0)
    ]
    assert batches[0] == pytest.approx(1.0, abs=0.1)
    assert batches[0] < batches[1] < batches[2] <= 8


def test_an_unloaded_request_takes_what_its_parts_take() -> None:
    one = closed_loop(with_engine(), clients=1, requests=50, seed=0)
    assert one.seconds == pytest.approx(0.002 + 0.002 + 0.012 + 0.013 + 0.001)
    faces = closed_loop(with_engine(rows=4.0), clients=1, requests=50, seed=0)
    # Two parts of two faces side by side; both cores are busy for one of them.
    assert faces.seconds == pytest.approx(0.002 + 0.002 + 0.012 + 0.023 + 0.001)
    assert closed_loop(on_device(), clients=1, requests=50, seed=0).seconds == pytest.approx(0.009)


def test_a_device_takes_no_core_and_sizes_between_are_on_the_line() -> None:
    engine = Engine(seconds={1: 0.004, 8: 0.011, 32: 0.035})
    assert [engine.device_seconds(rows) for rows in (1, 8, 20)] == pytest.approx([0.004, 0.011, 0.023])
    assert Engine(seconds={1: 0.004, 8: 0.011}).device_seconds(15) == pytest.approx(0.018), "as before"
    outcome = open_loop(on_device(), rate=50.0, requests=2000, seed=6)
    assert outcome.busy["cores"] == pytest.approx(50 * 0.0045 / 2, rel=0.2)


def test_clients_elsewhere_leave_the_cores_to_the_server() -> None:
    here = with_engine(client=Work(alone=0.005, busy=0.005), client_here=True)
    both = [
        closed_loop(times, clients=16, requests=2000, seed=7)
        for times in (here, here.with_clients_elsewhere())
    ]
    assert both[1].rate > 1.1 * both[0].rate
    alone = [
        closed_loop(t, clients=1, requests=20, seed=0).mean for t in (here, here.with_clients_elsewhere())
    ]
    assert alone[0] == pytest.approx(alone[1]), "their own time is part of the latency all the same"


# -- more of everything -------------------------------------------------------------------------------


@pytest.mark.parametrize("balancing", list(BALANCINGS))
def test_more_replicas_never_answer_later(balancing: str) -> None:
    tails = [
        open_loop(
            with_engine(),
            rate=200.0 / replicas,
            requests=3000,
            seed=8,
            balancing=balancing,
            replicas=replicas,
        ).longest_of(0.99)
        for replicas in (4, 6, 12)
    ]
    assert tails == sorted(tails, reverse=True)


def test_balancers_that_know_more_have_shorter_tails() -> None:
    tails = {
        balancing: open_loop(
            with_engine(), rate=45.0, requests=4000, seed=9, balancing=balancing, replicas=100
        ).longest_of(0.99)
        for balancing in BALANCINGS
    }
    assert tails[IN_TURN] < tails[LESS_BUSY] < tails[RANDOM]


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    first, again, other = (
        open_loop(with_engine(), rate=40.0, requests=500, seed=seed).seconds for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_replayed_arrivals_all_count() -> None:
    outcome = replayed(with_engine(), np.array([5.0, 5.0, 6.0]), seed=0)
    assert (outcome.offered, len(outcome.seconds)) == (3, 3)
    with pytest.raises(ValueError, match="nothing arrived"):
        replayed(with_engine(), np.array([]), seed=0)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="can't be simulated"):
        open_loop(with_engine(), rate=rate, requests=10, seed=0)


@pytest.mark.parametrize(
    "changed", [{"cores": 0}, {"full_speed": 0.0}, {"full_speed": 1.1}, {"in_flight": 0}]
)
def test_a_server_that_can_t_be_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a server has 1 core or more"):
        with_engine(**changed)


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_times_that_can_t_be_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="0 processor seconds or more"):
        Work(alone=seconds)
