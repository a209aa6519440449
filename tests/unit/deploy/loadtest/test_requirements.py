"""Requirements are parsed with sentences, and kept, not kept, or unanswerable with a reason."""

import dataclasses

import pytest

from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.objectives import Objective, parse_objective, supported
from deploy.loadtest.requirements import parse
from deploy.loadtest.results import Stage
from tests.helpers.load_runs import REFUSED, simulated_run, simulated_stage


@pytest.fixture(scope="module")
def below() -> Stage:
    """A stage of 600 requests that all get an answer."""
    return simulated_stage(OpenLoop(rate=20), section="rates", windows=12)


@pytest.fixture(scope="module")
def above() -> Stage:
    """More than the server bears: some are refused at once."""
    return simulated_stage(OpenLoop(rate=60), section="rates", windows=12)


def test_requests_without_an_answer_count_as_too_slow(above: Stage) -> None:
    """Else a server that refuses fast would keep any objective."""
    answered = above.codes["OK"] / above.due
    assert above.codes[REFUSED] > 0
    assert answered < 0.97
    objective = parse_objective("p99<100s")
    assert above.latency.percentile(0.99) < 100
    assert not objective.kept(above)
    assert Objective(share=answered - 0.001, seconds=100).kept(above)
    assert "never reached" in objective.describe(above)
    assert f"{above.codes[REFUSED]} without an answer" in objective.describe(above)


def test_an_objective_is_kept_from_its_percentile_on(below: Stage) -> None:
    value = Objective(share=0.99, seconds=1.0).value(below)
    assert Objective(share=0.99, seconds=value * 1.02).kept(below)
    assert not Objective(share=0.99, seconds=value * 0.98).kept(below)


@pytest.mark.parametrize("text", ["p99<200ms", "p50<80ms", "p99.9<1.5s"])
def test_an_objective_comes_back_from_its_text(text: str) -> None:
    assert parse_objective(text).text == text


@pytest.mark.parametrize(
    "text", ["", "p99", "p99<", "p99<200", "p100<1s", "p0<1s", "p99<0ms", "mean<1s", "p99>1s"]
)
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|give|unit"):
        parse_objective(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("quick", "is no requirement: write one as"),
        ("p99>200ms", "write p99<200ms"),
        ("rate<50rps", "write rate>50rps"),
        ("p98.x<1ms", "there is no metric 'p98.x'"),
        ("p99.99999999<1ms", "there is no metric"),
        ("rate<=50rps", "write rate>=50rps"),
        ("p0<1ms", "there is no metric 'p0'"),
        ("speed<1ms", "there is no metric 'speed'"),
        ("errors<1ms", "is in %"),
        ("p99<200", "is in ms or s or us, not in a bare number"),
        ("p99<1..5ms", "is no number"),
        ("p99<200ms@0rps", "can't be sent"),
        ("p99<200ms@2.5clients", "what stands behind @ is a load"),
        ("p99<200ms@50furlongs", "what stands behind @ is a load"),
    ],
)
def test_what_can_not_be_parsed_is_refused_with_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(text)


def test_a_requirement_names_the_load_that_it_needs() -> None:
    assert parse("p99<200ms@50rps").stage_needed() == OpenLoop(rate=50)
    assert parse("p50<80ms @ 16 clients").stage_needed() == ClosedLoop(clients=16)
    assert parse("errors<1%").stage_needed() is None


def test_a_requirement_is_checked_at_its_load_with_the_figure(below: Stage, above: Stage) -> None:
    run = simulated_run([below, above])
    kept = parse("p99<200ms@20rps").check(run)
    assert kept.kept
    assert "p99 " in kept.sentence
    assert "at 20/s, poisson" in kept.sentence
    missed = parse("p99<200ms@60rps").check(run)
    assert not missed.kept
    assert parse("goodput>15rps@20rps").check(run).kept
    assert not parse("goodput>15rps@60rps").check(run).kept


def test_without_a_load_errors_are_those_of_the_worst_stage_but_the_searchs(
    below: Stage, above: Stage
) -> None:
    assert not parse("errors<1%").check(simulated_run([below, above])).kept
    beyond = dataclasses.replace(above, section="search")
    assert parse("errors<1%").check(simulated_run([below, beyond])).kept


def test_without_a_load_a_rate_is_that_of_the_best_stage(below: Stage, above: Stage) -> None:
    run = simulated_run([below, above])
    assert parse("rate>40rps").check(run).kept
    assert not parse("rate>60rps").check(run).kept


def test_a_load_that_was_not_measured_keeps_nothing(below: Stage) -> None:
    verdict = parse("p99<200ms@50rps").check(simulated_run([below], ended="interrupted"))
    assert not verdict.kept
    assert verdict.sentence == "no stage was measured at 50/s, poisson: interrupted"


def test_a_stage_that_offered_less_than_its_rate_answers_nothing(below: Stage) -> None:
    idle = tuple(dataclasses.replace(window, due=window.due // 2) for window in below.windows)
    verdict = parse("p50<1s@20rps").check(simulated_run([dataclasses.replace(below, windows=idle)]))
    assert not verdict.kept
    assert "offered less" in verdict.sentence


def test_a_percentile_of_too_few_requests_is_not_kept(below: Stage) -> None:
    assert parse("p99<10s@20rps").check(simulated_run([below])).kept
    verdict = parse("p99.9<10s@20rps").check(simulated_run([below]))
    assert not verdict.kept
    assert (
        f"{below.due} requests at 20/s, poisson are too few for p99.9, which needs 5,000:" in verdict.sentence
    )
    assert [count for count in (49, 50, 499, 500) if supported(0.9, count)] == [50, 499, 500]
    assert [count for count in (49, 50, 499, 500) if supported(0.99, count)] == [500]


def test_a_stage_that_ended_early_keeps_nothing(below: Stage) -> None:
    died = dataclasses.replace(below, ended="the server answers no more")
    verdict = parse("errors<1%").check(simulated_run([died]))
    assert not verdict.kept
    assert "the server answers no more" in verdict.sentence


def test_goodput_needs_an_objective(below: Stage) -> None:
    run = simulated_run([below])
    bare = {key: value for key, value in run.about["settings"].items() if key != "slo"}
    verdict = parse("goodput>1rps").check(dataclasses.replace(run, about={**run.about, "settings": bare}))
    assert not verdict.kept
    assert "--slo" in verdict.sentence


def test_where_the_generator_was_the_limit_a_verdict_has_its_sentence(above: Stage) -> None:
    limit = "the generator's processes took 97 % of a core"
    limited = dataclasses.replace(above, generator=dataclasses.replace(above.generator, limit=limit))
    assert limit in parse("p99<200ms@60rps").check(simulated_run([limited])).sentence


@pytest.mark.parametrize(
    ("text", "lost", "kept"),
    [
        ("errors<=10%", 10, True),
        ("errors<10%", 10, False),
        ("errors<10%", 9, True),
        ("errors<=0%", 0, True),
        ("errors<0%", 0, False),
        ("errors<=0%", 1, False),
    ],
)
def test_the_bound_itself_is_kept_where_the_requirement_has_it(
    below: Stage, text: str, lost: int, kept: bool
) -> None:
    window = dataclasses.replace(below.measured[0], due=100, codes={"OK": 100 - lost, REFUSED: lost})
    stage = dataclasses.replace(below, windows=(window,), warm_up=0)
    assert parse(text).check(simulated_run([stage])).kept == kept
