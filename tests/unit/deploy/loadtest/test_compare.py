"""Two runs: the same differ in nothing, a planted change is found and named, doubts are warned of."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.loadtest.compare import main, report
from deploy.loadtest.comparison import compare
from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.results import Run, Search
from tests.helpers.load_runs import PARTS, simulated_run, simulated_stage


def measured(*, seed: int, parts: Mapping[str, float] = PARTS) -> Run:
    """A small run: two sweeps' stages and one that comes by itself."""
    return simulated_run(
        [
            simulated_stage(ClosedLoop(clients=1), seed=seed, parts=parts),
            simulated_stage(ClosedLoop(clients=4), seed=seed + 1, parts=parts),
            simulated_stage(OpenLoop(rate=12), section="rates", seed=seed + 2, parts=parts),
        ]
    )


def test_a_run_and_another_of_the_same_server_have_no_difference() -> None:
    """In 200 pairs at most 5 %: the intervals of a comparison hold together at 95 %."""
    runs = [measured(seed=10 * index) for index in range(21)]
    pairs = [(first, second) for first in range(21) for second in range(first)][:200]
    found = [compare(runs[first], runs[second]) for first, second in pairs]
    differing = [each for each in found if any(list(stage.differing()) for stage in each.stages)]
    assert len(found) == 200
    assert len(differing) <= 10


def test_a_planted_sleep_is_found_named_and_worse() -> None:
    slow = {**PARTS, "postprocess": PARTS["postprocess"] + 0.05}
    compared = compare(measured(seed=1), measured(seed=101, parts=slow))
    assert compared.worse
    first = compared.stages[0]
    assert first.load == ClosedLoop(clients=1)
    assert set(first.worse) == {"rate", "p50", "p99", "core-ms"}
    part = first.parts["postprocess"]
    assert part.beyond_noise
    # The mix asks for 1 and 1.8 times the work.
    assert 50 < part.after - part.before < 90
    assert compared.cause().startswith("postprocess took ")
    assert "more a request" in compared.cause()
    assert "Worse beyond noise: sweep, 1 client" in report(compared)
    # Seen from the other side it got faster, and nothing is worse.
    back = compare(measured(seed=101, parts=slow), measured(seed=1))
    assert not back.worse
    assert "less a request" in back.cause()
    assert "Nothing got worse" in report(back)


def test_a_part_that_only_moves_with_what_waits_is_named_after_the_work() -> None:
    slow = {**PARTS, "engine": PARTS["engine"] + 0.05}
    stages = [simulated_stage(ClosedLoop(clients=4), windows=30, seed=seed, parts=parts)
              for seed, parts in ((1, PARTS), (2, slow))]  # fmt: skip
    cause = compare(*(simulated_run([stage]) for stage in stages)).stages[0].cause()
    assert cause.index("engine took") < cause.index("queue took")


def test_errors_that_were_none_before_are_worse() -> None:
    before, after = (
        simulated_run([simulated_stage(OpenLoop(rate=45), section="rates", windows=12, places=places)])
        for places in (1000, 4)
    )
    (stage,) = compare(before, after).stages
    assert stage.errors.before == 0
    assert "errors" in stage.worse


def test_what_differs_in_how_it_was_measured_is_warned_of() -> None:
    before = measured(seed=1)
    about = {
        **before.about,
        "machine": {**before.about["machine"], "cores": 8},
        "serves": {**before.about["serves"], "precision": "bf16"},
        "target": {**before.about["target"], "protocol": "rest"},
    }
    first = before.stages[0]
    limited = dataclasses.replace(
        first, stable=False, generator=dataclasses.replace(first.generator, limit="it was busy")
    )
    after = dataclasses.replace(before, about=about, stages=(limited, before.stages[1]), ended="interrupted")
    warnings = "\n".join(compare(before, after).warnings)
    for words in (
        "machine differ: cores 2 -> 8",
        "serves differ: precision none -> bf16",
        "target differ: protocol grpc -> rest",
        "the run after ended early: interrupted",
        "sweep, 1 client after: it was busy",
        "sweep, 1 client after was not stable",
        "only the run before has rates, 12/s, poisson",
    ):
        assert words in warnings
    assert "work differ" not in warnings
    assert not compare(before, before).warnings


def test_a_stage_that_ended_early_is_worse_however_few_windows_it_has() -> None:
    before = simulated_stage(ClosedLoop(clients=2), windows=4)
    died = dataclasses.replace(before, windows=before.windows[:3], ended="the server answers no more")
    compared = compare(simulated_run([before]), simulated_run([died]))
    assert compared.stages[0].worse == ["ended early"]
    assert "Worse beyond noise: sweep, 2 clients (ended early)" in report(compared)
    assert not compare(simulated_run([died]), simulated_run([died])).worse


def test_a_stage_without_an_answer_is_compared_by_its_errors() -> None:
    answered, dead = (
        simulated_run([simulated_stage(OpenLoop(rate=20), section="rates", places=places)])
        for places in (64, 0)
    )
    compared = compare(answered, dead)
    assert "errors" in compared.stages[0].worse
    assert "rates, 20/s, poisson after has no answer" in compared.warnings
    assert "none (not known)" in report(compared)
    assert not compare(dead, dead).worse


def test_windows_of_several_stages_of_one_load_are_put_together() -> None:
    stages = [simulated_stage(ClosedLoop(clients=2), seed=seed) for seed in range(3)]
    compared = compare(simulated_run(stages), simulated_run(stages[:1]))
    assert len(compared.stages) == 1


def test_stages_without_a_split_or_processes_are_compared_by_what_they_have() -> None:
    stage = simulated_stage(ClosedLoop(clients=2))
    bare = dataclasses.replace(stage, server=type(stage.server)())
    compared = compare(simulated_run([stage]), simulated_run([bare]))
    assert not compared.stages[0].parts
    assert not compared.stages[0].core_ms
    assert not compared.worse


def test_core_ms_of_one_figure_need_twice_the_floor() -> None:
    stage = simulated_stage(ClosedLoop(clients=2))

    def taking(share: float) -> Run:
        core_ms = {name: share * value for name, value in stage.server.core_ms.items()}
        server = dataclasses.replace(stage.server, core_ms=core_ms, core_ms_rounds={})
        return simulated_run([dataclasses.replace(stage, server=server)])

    assert compare(taking(1.0), taking(1.2)).stages[0].worse == ["core-ms"]
    assert not compare(taking(1.0), taking(1.08)).worse


def test_searches_stand_beside_each_other() -> None:
    runs = [
        dataclasses.replace(
            measured(seed=1),
            searches=(Search(objective="p99<200ms", arrivals="poisson", rate=rate, sentence=""),),
        )
        for rate in (40.0, None)
    ]
    assert "p99<200ms was kept at 40/s before, at no rate that was tried after" in report(compare(*runs))


def test_the_command_ends_with_the_statuses_of_a_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, slow = tmp_path / "before", tmp_path / "slow.json"
    folder.mkdir()
    measured(seed=1).write(folder / "report.json")
    measured(seed=101, parts={**PARTS, "decode": 0.06}).write(slow)
    assert main([str(folder), str(folder)]) == 0
    assert "Nothing differs beyond noise in 3 loads." in capsys.readouterr().out
    assert main([str(folder), str(slow)]) == 1
    assert "Decode took" in capsys.readouterr().out
    for wrong in (tmp_path / "none.json", tmp_path):
        assert main([str(folder), str(wrong)]) == 2
        assert capsys.readouterr().err.startswith("compare: ")
    other = tmp_path / "other.json"
    simulated_run([simulated_stage(ClosedLoop(clients=3), windows=3)]).write(other)
    assert main([str(folder), str(other)]) == 2
    assert "no load in common" in capsys.readouterr().err
    assert main([str(folder), str(folder), "--floor", "-1"]) == 2
