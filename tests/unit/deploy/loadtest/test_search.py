"""The search for the highest rate that keeps an objective, over a simulated queue: no server, no clock."""

import functools

import pytest

from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.objectives import parse_objective
from deploy.loadtest.results import Search, Stage
from deploy.loadtest.search import SECTION, TOLERANCE, search
from tests.helpers.load_runs import simulated_stage

WINDOW = 5.0


class SimulatedServer:
    """Measures a queue of two servers, and keeps what was measured."""

    def __init__(self, **queue: object) -> None:
        self.stages: list[Stage] = []
        self._simulated = functools.partial(simulated_stage, section=SECTION, window_seconds=WINDOW, **queue)

    def measure(self, load: ClosedLoop | OpenLoop, seconds: float) -> Stage:
        stage = self._simulated(load, windows=round(seconds / WINDOW), seed=len(self.stages))
        self.stages.append(stage)
        return stage

    def search(self, objective: str, **words: object) -> Search:
        return search(
            self.measure,
            objective=parse_objective(objective),
            arrivals="poisson",
            seconds=30.0,
            **words,  # type: ignore[arg-type]
        )

    def rates(self) -> list[float]:
        return [stage.load.rate for stage in self.stages if isinstance(stage.load, OpenLoop)]


def test_the_rate_that_is_found_keeps_the_objective_and_the_next_one_that_was_tried_does_not() -> None:
    server = SimulatedServer()
    found = server.search("p99<200ms")
    objective = parse_objective("p99<200ms")
    assert found.rate is not None
    by_rate = {stage.load.rate: stage for stage in server.stages if isinstance(stage.load, OpenLoop)}
    violated = min(rate for rate, stage in by_rate.items() if not objective.kept(stage))
    assert objective.kept(by_rate[found.rate])
    assert found.rate < violated <= found.rate * (1 + TOLERANCE) ** 2


def test_the_last_run_is_of_the_rate_that_is_found_and_three_times_as_long() -> None:
    server = SimulatedServer()
    found = server.search("p99<200ms")
    last = server.stages[-1]
    assert isinstance(last.load, OpenLoop)
    assert last.load.rate == found.rate
    assert last.seconds > 2.5 * min(stage.seconds for stage in server.stages)


def test_an_objective_that_one_client_alone_does_not_keep_is_kept_by_no_rate() -> None:
    server = SimulatedServer()
    found = server.search("p99<10ms")
    assert found.rate is None
    assert "no rate keeps p99<10ms: a single client has p99" in found.sentence
    assert not server.rates()


def test_an_objective_that_only_one_client_keeps_ends_with_its_figures_and_those_of_a_rate() -> None:
    server = SimulatedServer(servers=1, places=1)  # a second request at a time is refused
    found = server.search("p99<200ms")
    assert found.rate is None
    assert "a single client has" in found.sentence
    assert "without an answer" in found.sentence


def test_requests_that_were_refused_count_as_too_late() -> None:
    """Of five places those that are answered are fast: without the refused ones any rate would do."""
    server = SimulatedServer(places=5)
    found = server.search("p99<400ms")
    assert found.rate is not None
    refusing = [stage for stage in server.stages if stage.error_share > 0.02]
    assert refusing
    assert all(stage.load.rate > found.rate for stage in refusing if hasattr(stage.load, "rate"))


def test_what_a_sweep_measured_is_not_measured_again() -> None:
    sweep = [simulated_stage(ClosedLoop(clients=clients), seed=clients) for clients in (1, 8, 32)]
    server = SimulatedServer()
    server.search("p99<200ms", known=sweep)
    assert not [stage for stage in server.stages if isinstance(stage.load, ClosedLoop)]
    assert server.rates()[0] == pytest.approx(0.7 * max(stage.rate for stage in sweep), rel=0.01)


def test_a_rate_at_which_the_queue_grows_is_not_kept_though_all_were_answered_in_time() -> None:
    server = SimulatedServer(places=100_000)
    found = server.search("p99<500s")
    most = max(stage.rate for stage in server.stages)
    assert found.rate is not None
    assert found.rate < 1.2 * most
    assert "answers/s" in found.sentence
