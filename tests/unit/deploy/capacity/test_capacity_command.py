"""`python -m deploy.capacity`, and the verdicts of `python -m deploy.capacity.validate`."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from deploy.capacity import __main__ as program
from deploy.capacity import validate
from deploy.capacity.verdicts import Comparison, compare, table
from tests.helpers.capacity_runs import BUSY, photo_run, without


@pytest.fixture(autouse=True)
def fewer_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_COARSE", 2000), ("_FINE", 2000), ("_UNLOADED", 200), ("_PRECISION", 0.05)):
        monkeypatch.setattr(f"deploy.capacity.fleet.{name}", value)


@pytest.fixture
def report(tmp_path: Path) -> str:
    photo_run().write(tmp_path / "report.json")
    return str(tmp_path / "report.json")


def test_the_plan_is_printed_and_kept(
    report: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--rate", "500", "--slo", "200ms", "--measured", report, "--json", str(tmp_path / "plan.json")]
    assert program.main([*command, "--balancing", "random", "--reserve", "2"]) == 0
    printed = capsys.readouterr().out
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["replicas"] == plan["needed"] + 2
    assert plan["objective"] == "p99<200ms"
    assert plan["lost"]["seconds"]["p99"] <= 0.2
    assert f"{plan['replicas']} replicas of 2 cores: {plan['needed']} keep p99<200ms at 500" in printed
    assert [limit["rate"] for limit in plan["limits"]] == sorted(limit["rate"] for limit in plan["limits"])
    assert f"| {plan['limits'][0]['part']} |" in printed
    assert "0.24 Gbit/s in each direction" in printed, "500 times 60 kB"
    hours = plan["replicas"] * 1e6 / (3600 * 500)
    assert plan["hours_of_a_million"]["replica"] == pytest.approx(hours, rel=1e-3)
    assert plan["cost_of_a_million"] is None
    assert "Note: the clients ran on the server's machine" in printed
    assert "Note: the engine takes the host's cores" in printed


def test_a_price_is_the_reader_s_and_the_quiet_hours_cost_too(
    report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--a-day", "43.2e6", "--peak", "2", "--slo", "p99<300ms", "--measured", report]
    assert program.main([*command, "--price-per-hour", "0.5", "--currency", "EUR"]) == 0
    printed = capsys.readouterr().out
    assert "keep p99<300ms at 1,000 requests/s" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("Cost of a million"))
    replicas = int(printed.split()[0])
    assert "(3,600 x 500)" in line
    assert line.endswith(f"= {0.5 * replicas * 1e6 / (3600 * 500):.4g} EUR.")


def test_a_plan_beyond_what_was_reached_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = photo_run()
    one, many = run.stages
    slow = dataclasses.replace(many, windows=[dataclasses.replace(many.windows[0], ended=600)])
    for stages, noted in (((one, many), False), ((one, slow), True)):
        dataclasses.replace(run, stages=stages).write(tmp_path / "report.json")
        assert (
            program.main(["--rate", "5", "--slo", "200ms", "--measured", str(tmp_path / "report.json")]) == 0
        )
        assert ("the simulation may be too good" in capsys.readouterr().out) == noted


def test_a_replica_with_gpus_has_their_hours_and_its_engine_takes_no_core(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = {part: value for part, value in BUSY.items() if part != "face_engine"}
    photo_run(alone=beside, busy=beside).write(tmp_path / "report.json")
    command = ["--rate", "500", "--slo", "200ms", "--measured", str(tmp_path / "report.json")]
    assert program.main([*command, "--gpus", "2", "--reserve", "0"]) == 0
    printed = capsys.readouterr().out
    replicas = int(printed.split()[0])
    assert f"{2 * replicas * 1e6 / (3600 * 500):.4g} GPU-hours" in printed
    assert "14.9 core-ms a request on 2 cores" in printed
    assert "the engine takes the host's cores" not in printed


def test_an_objective_below_the_unloaded_latency_is_status_one(
    report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--rate", "5", "--slo", "10ms", "--measured", report]) == 1
    printed = capsys.readouterr()
    assert "capacity: no number of replicas keeps p99<10ms" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rate", "0"], "a rate of 0 a second can't be planned for"),
        (["--rate", "-3"], "a rate of -3 a second can't be planned for"),
        (["--rate", "nan"], "can't be planned for"),
        (["--a-day", "1e15"], "can't be planned for: give one above 0, up to 1e+07"),
        (["--rate", "5", "--peak", "0.5"], "--peak 0.5 can't be"),
        (["--rate", "5", "--slo", "soon"], "is no objective: write a percentile and a time"),
        (["--rate", "5", "--reserve", "some"], "'some' is no reserve"),
        (["--rate", "5", "--network", "fast"], "'fast' is no network"),
        (["--rate", "5", "--price-per-hour", "-1"], "a price of -1 an hour can't be"),
        (["--rate", "5", "--request-bytes", "0"], "0 bytes are none"),
        (["--rate", "5", "--gpus", "0"], "a replica has 1 GPU or more"),
    ],
)
def test_what_can_t_be_worked_out_is_one_sentence(
    report: str, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert program.main(["--slo", "200ms", "--measured", report, *options]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_report_that_lacks_a_load_says_how_it_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(photo_run(), 1).write(tmp_path / "report.json")
    command = ["--rate", "5", "--slo", "200ms", "--measured"]
    assert program.main([*command, str(tmp_path / "report.json")]) == 2
    assert "has no load of one client: measure the server on its own machine" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}")
    assert program.main([*command, str(tmp_path / "other.json")]) == 2
    assert "is not a run of deploy.loadtest" in capsys.readouterr().err
    assert program.main([*command, str(tmp_path / "missing.json")]) == 2
    assert "missing.json" in capsys.readouterr().err


# -- the verdicts of validate -----------------------------------------------------------------------


def runs(*tails: float) -> list[np.ndarray]:
    """Of 100 latencies each, half 0.03 and half 0.05, the two longest as named."""
    return [np.array([0.03] * 50 + [0.05] * 48 + [tail] * 2) for tail in tails]


def test_figures_within_a_fifth_and_a_tail_within_the_runs_are_kept() -> None:
    p50, mean, p99 = compare(runs(0.1, 0.14, 0.12), runs(0.125, 0.13, 0.135))
    assert (p50.measured, p50.bounds) == (pytest.approx(30), pytest.approx((24, 36)))
    assert (p99.predicted, p99.bounds) == (pytest.approx(130), pytest.approx((100, 140)))
    assert p99.of_a_run == pytest.approx((125, 135)), "of the simulated runs"
    assert mean.measured == pytest.approx(39 + 0.24 * 10)
    assert all(verdict.kept for verdict in (p50, mean, p99))


@pytest.mark.parametrize(
    ("predicted", "kept"),
    [
        (np.full(100, 0.037), [False, True, False]),
        (runs(0.15)[0], [True, True, False]),
        (runs(0.09)[0], [True, True, False]),
        (2 * runs(0.06)[0], [False, False, True]),
    ],
)
def test_each_figure_has_its_own_verdict(predicted: np.ndarray, kept: list[bool]) -> None:
    verdicts = compare(runs(0.1, 0.14, 0.12), [predicted])
    assert [verdict.kept for verdict in verdicts] == kept
    comparison = Comparison(kind="photo", load=0.5, rate=30.0, verdicts=verdicts, refused=(0, 0.0))
    assert not comparison.kept
    lines = table([comparison]).splitlines()[2:]
    assert [line.endswith("| yes |") for line in lines] == kept
    assert all("| photo | 50% | 30.0 |" in line for line in lines)


def test_a_run_without_an_answer_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="measure longer with --seconds"):
        compare([*runs(0.1), np.array([])], runs(0.1))


@pytest.mark.parametrize(
    "options", [["--rounds", "0"], ["--seconds", "0"], ["--loads", "1"], ["--loads", "0.5", "1.2"]]
)
def test_loads_that_no_server_bears_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        validate.main(options)
    assert options[0] in capsys.readouterr().err.splitlines()[-1]
