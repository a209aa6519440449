"""A run is kept whole as JSON, and what is no run, or no number, is refused with a sentence."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.loadtest import results
from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.results import Generator, Peer, Run, Server, Stage, Step
from deploy.measuring.plain_data import rounded
from tests.helpers.load_runs import simulated_run, simulated_stage, whole_run


def plain(run: Run) -> Any:
    return rounded(results._plain(run))


def test_every_field_of_a_run_comes_back_from_its_file(tmp_path: Path) -> None:
    run = dataclasses.replace(whole_run(), ended="interrupted")
    first, *others = run.stages
    step = Step(
        model="m", requests=3, batch=1.5, queue=0.1, copy_in=0.2, infer=0.3, copy_out=0.4, failed=1,
        infer_by_batch={"2": (3, 0.7)},
    )  # fmt: skip
    server = dataclasses.replace(
        first.server, steps=(step,), notes=("a note",), refused={"queue full": 3}, in_flight_limit=4.0
    )
    first = dataclasses.replace(first, ended="the server died", server=server)
    run = dataclasses.replace(run, stages=(first, *others))
    run.write(tmp_path / "report.json")
    back = Run.read(tmp_path / "report.json")

    assert plain(back) == plain(run)
    assert [stage.load for stage in back.stages] == [stage.load for stage in run.stages]
    # Each field of each record differs from its default somewhere, so that one that is dropped is noticed.
    for record, found in (
        (Run, [back]),
        (Stage, back.stages),
        (Server, [stage.server for stage in back.stages]),
        (Step, [step for stage in back.stages for step in stage.server.steps]),
        (Peer, back.peers),
    ):
        for field in dataclasses.fields(record):
            default = field.default_factory() if callable(field.default_factory) else field.default
            assert any(getattr(each, field.name) != default for each in found), (record, field.name)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_json_does_not_have_is_refused_by_its_name(tmp_path: Path, value: float) -> None:
    stage = simulated_stage(ClosedLoop(clients=1), windows=2)
    broken = dataclasses.replace(stage, server=Server(core_ms={"gateway": value}))
    run = simulated_run([stage, broken])
    with pytest.raises(ValueError, match=r"run\.stages\[1\]\.server\.core_ms\.gateway is (nan|inf)"):
        run.write(tmp_path / "report.json")
    assert not list(tmp_path.iterdir())


def test_an_object_among_plain_data_is_refused_by_its_name(tmp_path: Path) -> None:
    run = simulated_run([simulated_stage(ClosedLoop(clients=1), windows=1)])
    run = dataclasses.replace(run, about={**run.about, "settings": {"photos": [tmp_path]}})
    with pytest.raises(ValueError, match=r"run\.about\.settings\.photos\[0\] is a PosixPath"):
        run.write(tmp_path / "report.json")


def test_a_run_that_can_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    run = simulated_run([simulated_stage(ClosedLoop(clients=1), windows=2)])
    run.write(path)
    kept = path.read_text()
    late = Generator(processes=1, late_p99=math.nan, busiest=0.1, core_seconds=1.0)
    with pytest.raises(ValueError, match="late_p99"):
        dataclasses.replace(run, stages=(dataclasses.replace(run.stages[0], generator=late),)).write(path)
    assert path.read_text() == kept


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "about": {}, "stages": [{}]}', "\0"]
)
def test_a_file_that_is_no_run_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"is not a run of deploy\.loadtest .* give a report\.json"):
        Run.read(path)


def test_a_file_with_a_number_that_json_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    simulated_run([simulated_stage(ClosedLoop(clients=1), windows=2)]).write(path)
    data = json.loads(path.read_text())
    data["stages"][0]["gap"] = math.nan
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="NaN"):
        Run.read(path)


@pytest.mark.parametrize(
    ("place", "value", "name"),
    [
        (("stages", 0, "warm_up"), "x", "run.stages[0].warm_up is 'x'"),
        (("stages", 0, "server", "core_ms"), {"gateway": None}, "core_ms.gateway is None"),
        (("stages", 0, "server", "parts"), {"photo": {"queue": "1"}}, "parts.photo.queue is '1'"),
        (("stages", 0, "windows", 0, "due"), [], "windows[0].due is []"),
        (("about",), "x", "run.about is 'x'"),
        (("searches",), [{"objective": "", "arrivals": "", "rate": "5", "sentence": ""}], "rate is '5'"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(
    tmp_path: Path, place: tuple[str | int, ...], value: object, name: str
) -> None:
    path = tmp_path / "report.json"
    simulated_run([simulated_stage(ClosedLoop(clients=1), windows=2)]).write(path)
    data = held = json.loads(path.read_text())
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = value
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=re.escape(name)):
        Run.read(path)


def test_a_file_that_is_not_there_is_named_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"absent can't be read \(No such file or directory\): give a report"
    ):
        Run.read(tmp_path / "absent")
