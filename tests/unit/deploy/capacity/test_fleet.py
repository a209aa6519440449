"""Replicas for a rate, what breaks first, and what it costs."""

import dataclasses
import math

import numpy as np
import pytest

from deploy.capacity.cost import check_price, hours_of_a_million
from deploy.capacity.fleet import MOST_RATE, Fleet, Reserve, UnreachableError, fleet_for, kept
from deploy.capacity.limits import balancers, fleet_sentences, parse_network, replica_limits
from deploy.capacity.measured import measured_of
from deploy.capacity.queueing.loads import IN_TURN, LESS_BUSY, RANDOM, open_loop
from deploy.capacity.queueing.server import Outcome
from deploy.capacity.queueing.service_times import Engine, ServiceTimes, Step, Work
from deploy.loadtest.objectives import Objective, parse_objective
from tests.helpers.capacity_runs import photo_run

SLO, NONE = parse_objective("p99<200ms"), Reserve()


@pytest.fixture(scope="module", autouse=True)
def fewer_requests() -> object:
    """What is tested is the search; figures to a few per cent will do."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_COARSE", 2000), ("_FINE", 2000), ("_UNLOADED", 200), ("_PRECISION", 0.05)):
            patch.setattr(f"deploy.capacity.fleet.{name}", value)
        yield


@pytest.fixture(scope="module")
def times() -> ServiceTimes:
    return measured_of(photo_run()).service_times().with_clients_elsewhere()


def fleet(
    times: ServiceTimes,
    *,
    rate: float = 500.0,
    objective: Objective = SLO,
    balancing: str = RANDOM,
    reserve: Reserve = NONE,
) -> Fleet:
    return fleet_for(times, rate=rate, objective=objective, balancing=balancing, reserve=reserve)


@pytest.fixture(scope="module")
def usual(times: ServiceTimes) -> Fleet:
    return fleet(times, reserve=Reserve(replicas=2))


def test_the_replicas_that_are_needed_keep_the_objective(usual: Fleet) -> None:
    assert usual.needed == math.ceil(500 / usual.most)
    assert kept(usual.lost, SLO)
    assert usual.lost.refused_share < 0.01
    assert 30 < usual.most < 66, "a server of about 65 requests a second, at a p99 of 200 ms"


def test_at_a_tenth_more_than_a_replica_bears_it_does_not_keep_the_objective(
    usual: Fleet, times: ServiceTimes
) -> None:
    assert not kept(open_loop(times, rate=1.1 * usual.most, requests=4000, seed=0), SLO)


def test_a_longer_objective_and_a_better_balancer_let_a_replica_bear_more(
    usual: Fleet, times: ServiceTimes
) -> None:
    assert fleet(times, objective=parse_objective("p99<400ms")).most > usual.most
    assert fleet(times, balancing=IN_TURN).most > usual.most


def test_half_as_many_simulated_servers_would_do(usual: Fleet, times: ServiceTimes) -> None:
    found = fleet(times, balancing=LESS_BUSY)
    assert not found.sample_matters
    assert found.most > usual.most
    assert found.lost.servers == min(found.needed, 16)
    assert found.lost.rate == pytest.approx(500 / found.needed, rel=0.1), "of each of them"


def test_a_reserve_stands_beside_what_is_needed_and_helps_while_it_is_there(usual: Fleet) -> None:
    assert (usual.reserve, usual.replicas) == (2, usual.needed + 2)
    assert usual.whole.longest_of(0.99) < usual.lost.longest_of(0.99)


@pytest.mark.parametrize(("share", "spare"), [(0.0, 0), (0.1, 2), (0.05, 1), (1.0, 20)])
def test_a_reserve_may_be_a_share_which_is_rounded_up(share: float, spare: int) -> None:
    assert Reserve(share=share).beside(20) == spare
    assert Reserve(share=0.1).beside(11) == 2


def test_a_rate_below_one_replica_s_wants_one(times: ServiceTimes) -> None:
    assert fleet(times, rate=0.5).needed == 1


def test_a_billion_photos_a_day_want_as_many_more_as_their_rate_is_higher(times: ServiceTimes) -> None:
    found = fleet(times, rate=2.5 * 1e9 / 86_400)
    assert 430 < found.needed < 960
    assert found.needed == pytest.approx(2.5 * 1e9 / 86_400 / found.most, rel=0.01)


@pytest.mark.parametrize("text", ["p99<20ms", "p50<10ms"])
def test_what_an_unloaded_server_does_not_keep_no_number_keeps(times: ServiceTimes, text: str) -> None:
    with pytest.raises(UnreachableError, match=f"no number of replicas keeps {text}: one that has nothing"):
        fleet(times, objective=parse_objective(text))


@pytest.mark.parametrize("rate", [0.0, -5.0, math.nan, math.inf, 10 * MOST_RATE])
def test_rates_that_can_t_be_are_refused(times: ServiceTimes, rate: float) -> None:
    with pytest.raises(ValueError, match="can't be planned for"):
        fleet(times, rate=rate)


def test_what_was_refused_does_not_count_as_in_time() -> None:
    outcome = Outcome(seconds=np.full(98, 0.1), offered=100, elapsed=1.0, busy={}, batch=1.0)
    assert not kept(outcome, SLO)
    assert kept(dataclasses.replace(outcome, offered=98), SLO)


@pytest.mark.parametrize(("replicas", "share"), [(-1, 0.0), (0, -0.1), (0, math.inf)])
def test_a_reserve_that_can_t_be_is_refused(replicas: int, share: float) -> None:
    with pytest.raises(ValueError, match="a reserve is"):
        Reserve(replicas=replicas, share=share)


# -- what breaks first -------------------------------------------------------------------------------


def ms(core_ms: float) -> Work:
    return Work(alone=core_ms / 1e3, busy=core_ms / 1e3)


def limits_of(**changed: object) -> dict[str, float]:
    server = ServiceTimes(
        **{  # type: ignore[arg-type]
            "cores": 64,
            "gateway": ms(1.0),
            "triton": ms(1.0),
            "engine": Engine(seconds={1: 0.001, 32: 0.01}),
            "before": [Step(name="decode", processes=48, work=ms(3.0))],
            **changed,
        }
    )
    at = Outcome(seconds=np.full(10, 0.1), offered=10, elapsed=0.1, busy={"photos": 0.5}, batch=4.0)
    found = replica_limits(server, at, request_bytes=50e3, answer_bytes=10e3, network=1.25e9)
    assert [limit.rate for limit in found] == sorted(limit.rate for limit in found)
    return {limit.part: limit.rate for limit in found}


def test_each_part_s_limit_is_its_own_arithmetic() -> None:
    found = limits_of()
    assert found == {
        "gateway": pytest.approx(1000),
        "engine": pytest.approx(3200),
        "cores": pytest.approx(64_000 / 5),
        "decode": pytest.approx(48_000 / 3),
        "network": pytest.approx(25_000),
    }


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({}, "gateway"),
        ({"gateway": ms(0.05)}, "engine"),
        ({"gateway": ms(0.05), "rows": 0.0, "cores": 2}, "cores"),
        ({"gateway": ms(0.05), "before": [Step(name="decode", processes=1, work=ms(3.0))]}, "decode"),
        ({"engine": Engine(row=ms(12.0), streams=2), "cores": 2}, "cores"),
    ],
)
def test_what_breaks_first_is_named_first(changed: dict[str, object], first: str) -> None:
    assert next(iter(limits_of(**changed))) == first


def test_held_processes_bear_what_their_share_of_time_under_load_leaves() -> None:
    held = Step(name="photos", processes=6, work=ms(12.0), holds=True)
    assert limits_of(before=[held])["photos"] == pytest.approx(200), "100 a second keep half of them busy"


def test_a_part_that_takes_no_time_is_no_limit() -> None:
    idle = Step(name="decode", processes=48, work=Work(alone=0.003))
    assert set(limits_of(gateway=Work(), before=[idle])) == {"cores", "engine", "network"}


def test_bytes_pass_a_balancer_in_both_directions_at_once() -> None:
    found = balancers(rate=30_000, request_bytes=50e3, answer_bytes=10e3, network=1.25e9)
    assert found.bytes_a_second == pytest.approx(1.8e9)
    assert (found.needed, found.rate) == (2, pytest.approx(1.25e9 / 60e3))
    assert balancers(rate=1.0, request_bytes=0, answer_bytes=0, network=1.0).needed == 0


def test_clients_that_balance_themselves_meet_the_gateway_s_own_bounds() -> None:
    outcome = Outcome(seconds=np.full(100, 0.1), offered=100, elapsed=2.0, busy={}, batch=1.0)
    sentences = " ".join(fleet_sentences(replicas=700, at=outcome))
    assert "places for 256" in sentences
    assert "700 replicas. A replica has 5.0 calls at a time" in sentences


@pytest.mark.parametrize(("text", "rate"), [("10gbit", 1.25e9), ("500mbit", 62.5e6), ("2.5Gbit", 312.5e6)])
def test_networks_are_bits_a_second(text: str, rate: float) -> None:
    assert parse_network(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["10", "gbit", "0gbit", "-1gbit", "10GB", ""])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no network: write its bits a second as 10gbit"):
        parse_network(text)


# -- what it costs ------------------------------------------------------------------------------------


def test_a_million_costs_the_replicas_hours_in_which_it_is_answered() -> None:
    # 1,000 a second are 3.6 million an hour.
    hours = hours_of_a_million(replicas=36, mean_rate=1000.0, cores=2, devices=4)
    assert (hours.replica, hours.core, hours.device) == pytest.approx((10, 20, 40))


def test_the_quiet_hours_are_paid_for_too() -> None:
    peak, mean = (
        hours_of_a_million(replicas=36, mean_rate=rate, cores=2, devices=0) for rate in (1000.0, 400.0)
    )
    assert mean.replica == pytest.approx(2.5 * peak.replica)


@pytest.mark.parametrize("price", [-1.0, math.inf, math.nan])
def test_a_price_that_is_none_is_refused(price: float) -> None:
    with pytest.raises(ValueError, match="an hour can't be"):
        check_price(price)
