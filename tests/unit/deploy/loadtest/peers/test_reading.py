"""What other load generators print becomes figures, or a sentence with what they printed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.loadtest.peers import loadgen, locust_rest, perf_analyzer
from deploy.loadtest.peers.loadgen_rules import BEYOND_SETTINGS, overridden
from deploy.loadtest.peers.tool import ToolError, run_program
from tests.helpers.paths import ROOT

SAMPLES = ROOT / "tests" / "assets" / "load_tools"
SETTINGS = {"min_duration_ms": 600000, "performance_sample_count_override": 1024, "scenario": "Server"}


def answer(**changes: Any) -> str:
    """What loadgen_process prints."""
    return json.dumps(
        {
            "ours": {**SETTINGS, "min_duration_ms": 4000},
            "mlperfs": SETTINGS,
            "codes": {"OK": 156},
            "details": "",
            "calls": {"0.5": 0.051, "0.9": 0.097, "0.99": 0.128},
            "core_seconds": 0.2,
            "seconds": 4.0,
            **changes,
        }
    )


def loadgen_sample(name: str, printed: str) -> Any:
    scenario = name.capitalize()
    summary = (SAMPLES / f"loadgen_{name}.txt").read_text()
    return loadgen.measured(printed, summary, scenario=scenario, pictures=1)


# -- perf_analyzer --------------------------------------------------------------------------------


def test_perf_analyzers_report_is_read_in_seconds() -> None:
    text = (SAMPLES / "perf_analyzer.csv").read_text()
    measured = perf_analyzer.measured(text, "", command="perf-analyzer", stable=True)
    assert measured.rate == pytest.approx(63.6448)
    assert measured.percentiles == pytest.approx(
        {"p50": 0.061662, "p90": 0.078423, "p95": 0.081318, "p99": 0.09623}
    )
    assert measured.valid == "stable"


def test_a_measurement_that_was_not_stable_is_marked() -> None:
    text = (SAMPLES / "perf_analyzer.csv").read_text()
    measured = perf_analyzer.measured(text, "", command="perf-analyzer", stable=False)
    assert "not stable" in measured.valid


def test_requests_that_perf_analyzer_sent_late_are_noted() -> None:
    printed = (
        "[WARNING] Perf Analyzer was not able to keep up with the desired request rate. 12% were delayed.\n"
    )
    text = (SAMPLES / "perf_analyzer.csv").read_text()
    (note,) = perf_analyzer.measured(text, printed, command="perf-analyzer", stable=True).notes
    assert "not able to keep up" in note


@pytest.mark.parametrize(
    "report", ["", "Concurrency\n4\n", "garbage", "Inferences/Second,p50 latency\nx,y\n"]
)
def test_another_report_of_perf_analyzer_is_a_sentence_with_what_it_printed(report: str) -> None:
    with pytest.raises(ToolError, match=r"report can't be read.*no server there"):
        perf_analyzer.measured(report, "one\n\nno server there\n", command="perf-analyzer", stable=True)


# -- LoadGen --------------------------------------------------------------------------------------


def test_loadgens_server_scenario_has_its_percentiles_its_verdict_and_why() -> None:
    measured = loadgen_sample("server", answer())
    assert measured.rate == pytest.approx(38.3)
    assert measured.percentiles["p50"] == pytest.approx(0.05253241)
    assert measured.percentiles["p99"] == pytest.approx(0.130272573)
    assert measured.valid == "INVALID, unverified, overridden rules listed"
    assert "INVALID, as not satisfied: Early stopping" in measured.notes
    assert measured.core_ms == pytest.approx(200 / 156)


def test_loadgens_offline_scenario_has_a_rate_and_no_latency() -> None:
    measured = loadgen_sample("offline", answer(codes={"OK": 264}))
    assert measured.rate == pytest.approx(57.9562)
    assert measured.percentiles == {}
    assert measured.valid == "VALID, unverified, overridden rules listed"


def test_calls_that_failed_make_a_run_of_loadgen_invalid() -> None:
    measured = loadgen_sample("offline", answer(codes={"OK": 260, "UNAVAILABLE": 4}, details="busy"))
    assert measured.valid.startswith("INVALID")
    assert any("4 UNAVAILABLE (busy)" in note for note in measured.notes)


def test_a_client_that_may_have_been_the_limit_is_noted() -> None:
    notes = loadgen_sample("server", answer(core_seconds=3.6)).notes
    assert any("0.90 of a core: it may have been the limit" in note for note in notes)


@pytest.mark.parametrize(
    "printed",
    ["", "[]", "{}", "not JSON", answer(seconds=0), answer(mlperfs={"other": 1}), answer(codes=None)],
)
def test_another_answer_of_loadgens_process_is_a_sentence(printed: str) -> None:
    with pytest.raises(ToolError, match="answer can't be read"):
        loadgen_sample("server", printed)


def test_a_summary_of_another_scenario_is_a_sentence() -> None:
    summary = (SAMPLES / "loadgen_offline.txt").read_text()
    with pytest.raises(ToolError, match="Completed samples per second"):
        loadgen.measured(answer(), summary, scenario="Server", pictures=1)


# -- MLPerf's rules -------------------------------------------------------------------------------


def test_each_setting_that_differs_from_mlperfs_is_a_line_with_both_values() -> None:
    theirs = {
        "a_ms": 600000,
        "b_ns": 15000000,
        "c": 1,
        "performance_sample_count_override": 1024,
        "mode": "X",
    }
    ours = {"a_ms": 4000, "b_ns": 200000000.0, "c": 1, "performance_sample_count_override": 1, "mode": "Y"}
    lines = overridden(theirs=theirs, ours=ours, pictures=1)
    assert [line for line in lines if line not in BEYOND_SETTINGS] == [
        "a_ms: 4 s, MLPerf 600 s",
        "b_ns: 200 ms, MLPerf 15 ms",
        "mode: Y, MLPerf X",
        "performance_sample_count_override: 1, MLPerf 1024",
        "query sample library: 1, MLPerf 1024",
    ]
    assert set(BEYOND_SETTINGS) <= set(lines)


def test_the_load_that_each_user_of_loadgen_chooses_is_no_overridden_rule() -> None:
    theirs = {"server_target_qps": 1.0, "offline_expected_qps": 1.0, "scenario": "Server"}
    ours = {"server_target_qps": 40.0, "offline_expected_qps": 40.0, "scenario": "Offline"}
    assert overridden(theirs=theirs, ours=ours, pictures=0) == BEYOND_SETTINGS


# -- locust ---------------------------------------------------------------------------------------


def read_locust(**changes: Any) -> Any:
    figures = json.loads((SAMPLES / "locust.json").read_text()) | changes
    return locust_rest.measured(json.dumps(figures), printed="its last line", command="locust")


def test_locusts_totals_are_read_in_seconds() -> None:
    measured = read_locust()
    assert measured.rate == pytest.approx(40.0)
    assert measured.percentiles == pytest.approx({"p50": 0.1, "p90": 0.13, "p95": 0.14, "p99": 0.15})
    assert measured.core_ms == pytest.approx(2.5)
    assert measured.notes == ("its process took 0.10 of a core, and was not the limit",)


def test_requests_of_locust_that_failed_are_noted_and_not_counted_as_answers() -> None:
    measured = read_locust(failures=80, failures_per_second=20.0)
    assert measured.rate == pytest.approx(20.0)
    assert measured.percentiles == {}
    assert "80 of its 160 requests failed" in measured.notes[0]


@pytest.mark.parametrize(
    "changes",
    [{"failures": 160}, {"requests": 0, "percentiles_ms": dict.fromkeys(map(str, locust_rest.SHARES))}],
)
def test_locust_without_an_answer_is_a_sentence_with_what_it_printed(changes: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match=r"none of locust's \d+ requests was answered: its last line"):
        read_locust(**changes)


@pytest.mark.parametrize("figures", ["", "{}", "[]", "not JSON", '{"requests": "many"}'])
def test_locust_that_kept_no_figures_is_a_sentence(figures: str) -> None:
    with pytest.raises(ToolError, match="kept no figures: its last line"):
        locust_rest.measured(figures, printed="its last line", command="locust")


# -- programs -------------------------------------------------------------------------------------


def run_python(code: str, folder: Path, **options: Any) -> Any:
    return run_program((sys.executable, "-c", code), name="tool", seconds=1, folder=folder, **options)


def test_a_program_that_fails_is_a_sentence_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"tool ended with status 3: out \| 2 \| 3 \| 4 \| 5$"):
        run_python(
            "import sys; print('out'); sys.stderr.write('1\\n2\\n3\\n4\\n5\\n'); sys.exit(3)", tmp_path
        )


def test_a_program_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="tool can't be started"):
        run_program((tmp_path / "missing",), name="tool", seconds=1, folder=tmp_path)


def test_a_program_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.loadtest.peers.tool.SPARE_SECONDS", -0.9)
    with pytest.raises(ToolError, match="it was killed"):
        run_python("import time; time.sleep(60)", tmp_path)


def test_what_a_program_took_of_the_processors_is_measured(tmp_path: Path) -> None:
    output = run_python("import time\nwhile time.process_time() < 0.2: pass\nprint('done')", tmp_path)
    assert output.printed == "done\n"
    assert output.core_seconds >= 0.2
