"""The schedules of an open loop, shared out over several senders."""

import numpy as np
import pytest

from deploy.loadtest.generator.order import Order
from deploy.loadtest.generator.senders import Senders
from deploy.loadtest.loads import ARRIVALS, OpenLoop

SECONDS, RATE, SENDERS = 300.0, 40.0, 4


def dues(arrivals: str) -> list[np.ndarray]:
    load = OpenLoop(rate=RATE, arrivals=arrivals)
    return [
        load.dues(seconds=SECONDS, share=1 / SENDERS, random=np.random.default_rng([5, sender]))
        for sender in range(SENDERS)
    ]


@pytest.mark.parametrize("arrivals", sorted(ARRIVALS))
def test_schedules_shared_out_over_processes_have_the_rate_together(arrivals: str) -> None:
    parts = dues(arrivals)
    assert sum(len(part) for part in parts) / SECONDS == pytest.approx(RATE, rel=0.1)
    assert all(len(part) / SECONDS == pytest.approx(RATE / SENDERS, rel=0.2) for part in parts)


def test_poisson_schedules_together_are_poisson() -> None:
    """The deviation of the distances is their mean, and the counts of seconds vary by their mean."""
    together = np.sort(np.concatenate(dues("poisson")))
    distances = np.diff(together)
    assert distances.std() == pytest.approx(distances.mean(), rel=0.05)
    counts = np.bincount(together.astype(int), minlength=int(SECONDS))
    assert counts.var() == pytest.approx(counts.mean(), rel=0.3)


def test_bursty_schedules_vary_more_than_poisson_and_even_ones_less() -> None:
    variances = {
        arrivals: np.bincount(np.concatenate(dues(arrivals)).astype(int), minlength=int(SECONDS)).var()
        for arrivals in ("poisson", "bursty", "even")
    }
    assert variances["even"] < 0.2 * variances["poisson"] < variances["poisson"] < 0.3 * variances["bursty"]


@pytest.mark.parametrize("arrivals", sorted(ARRIVALS))
def test_a_schedule_that_is_drawn_piece_by_piece_has_the_rate_and_ends_in_time(arrivals: str) -> None:
    load = OpenLoop(rate=RATE, arrivals=arrivals)
    order = Order(begin=1000.0, longest=SECONDS, seed=(1, 2), open_loop=load)
    senders = Senders(order, connections=(), messages=("",), shares=(1.0,), deadline=1.0)
    drawn = np.array(list(senders._dues(load)))
    assert len(drawn) / SECONDS == pytest.approx(RATE, rel=0.1)
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] >= 1000.0
    assert drawn[-1] < 1000.0 + SECONDS
