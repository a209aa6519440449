"""Each client's requests are counted on their own, and a rate's refusal states when to come again."""

import grpc
import pytest

from deploy.gateway.admission import rates
from deploy.gateway.admission.rates import Rates
from deploy.gateway.refusals import Refusal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(counted: Rates, client: str, per_second: float, *, tries: int) -> int:
    """How many of the tries are let through."""
    count = 0
    for _ in range(tries):
        try:
            counted.take(client, per_second)
        except Refusal:
            continue
        count += 1
    return count


def test_a_second_s_worth_goes_at_once_and_then_the_rate_holds() -> None:
    clock = Clock()
    counted = Rates(clock=clock)
    assert taken(counted, "a", 5, tries=20) == 5
    clock.now += 0.4
    assert taken(counted, "a", 5, tries=20) == 2
    clock.now += 60
    assert taken(counted, "a", 5, tries=20) == 5


def test_one_client_s_rate_is_not_another_s() -> None:
    counted = Rates(clock=Clock())
    assert taken(counted, "a", 1, tries=3) == 1
    assert taken(counted, "b", 3, tries=5) == 3


def test_a_refusal_states_when_the_next_request_is_let_through() -> None:
    clock = Clock()
    counted = Rates(clock=clock)
    counted.take("a", 0.5)
    clock.now += 0.5
    with pytest.raises(Refusal, match="'a'") as refused:
        counted.take("a", 0.5)
    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "rate"
    assert refused.value.retry_after is not None
    clock.now += refused.value.retry_after
    counted.take("a", 0.5)


def test_refused_tries_don_t_use_up_the_rate() -> None:
    clock = Clock()
    counted = Rates(clock=clock)
    counted.take("a", 1)
    for _ in range(10):
        clock.now += 0.09
        assert taken(counted, "a", 1, tries=1) == 0
    clock.now += 0.11
    counted.take("a", 1)


def test_clients_beyond_a_number_are_forgotten_the_longest_quiet_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "_MOST_CLIENTS", 2)
    counted = Rates(clock=Clock())
    for client in ("a", "b", "a", "c"):
        taken(counted, client, 1, tries=1)
    assert taken(counted, "a", 1, tries=1) == 0
    assert taken(counted, "b", 1, tries=1) == 1
