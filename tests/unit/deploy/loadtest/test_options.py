"""The load test's command line: which loads come of it, and the sentence of what can't be."""

from pathlib import Path

import pytest

from deploy.loadtest.__main__ import main
from deploy.loadtest.command.options import Options, read_options
from deploy.loadtest.command.plan import DEFAULT_CLIENTS
from deploy.loadtest.loads import ClosedLoop, OpenLoop


def plan_of(*words: str) -> Options:
    return read_options(words)


def test_without_a_load_there_are_a_sweep_and_a_search() -> None:
    plan = plan_of().plan
    assert (plan.clients, plan.search, plan.rates) == (list(DEFAULT_CLIENTS), True, [])
    assert plan.objective.text == "p99<500ms"


def test_a_load_that_is_named_is_all_that_comes() -> None:
    plan = plan_of("--rates", "10", "20", "--arrivals", "bursty").plan
    assert (plan.clients, plan.search) == ([], False)
    assert plan.rates == [OpenLoop(rate=rate, arrivals="bursty") for rate in (10, 20)]


def test_what_a_requirement_needs_is_measured_too() -> None:
    plan = plan_of("--clients", "4", "--require", "p99<200ms@50rps", "p50<80ms@16clients", "errors<1%").plan
    assert plan.clients == [4, 16]
    assert plan.rates == [OpenLoop(rate=50)]
    assert not plan.search


def test_requirements_of_any_stage_are_held_against_the_sweep() -> None:
    assert plan_of("--require", "errors<1%").plan.clients == list(DEFAULT_CLIENTS)


@pytest.mark.parametrize(
    ("words", "load"),
    [
        (("--rates", "25"), OpenLoop(rate=25)),
        (("--clients", "8"), ClosedLoop(clients=8)),
        ((), ClosedLoop(clients=4)),
    ],
)
def test_a_soak_is_one_load(words: tuple[str, ...], load: ClosedLoop | OpenLoop) -> None:
    plan = plan_of("--soak", "5", *words).plan
    assert (plan.soak, plan.soak_load) == (5, load)
    assert (plan.clients, plan.rates, plan.search) == ([], [], False)


def test_a_window_is_never_longer_than_what_is_measured_unless_it_is_given() -> None:
    assert plan_of("--seconds", "1").settings.window == 1
    assert plan_of().settings.window == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seconds", "0"), "0 is no seconds of a stage"),
        (("--seconds", "nan"), "nan is no seconds"),
        (("--seconds", "4", "--window", "5"), "a window of 5 s is longer"),
        (("--window", "-1"), "-1 is no window"),
        (("--warm-up", "-1"), "-1 is no warm-up"),
        (("--spread", "0"), "0 is no spread"),
        (("--deadline", "0"), "--deadline 0 can't be kept"),
        (("--processes", "0"), "--processes 0 can't be started"),
        (("--clients", "0"), "--clients 0 can't be"),
        (("--rates", "-5"), "can't be sent"),
        (("--rates", "inf"), "can't be sent"),
        (("--rates", "1e9"), "--rates 1e+09 can't be sent"),
        (("--seed", "-1"), "--seed -1 is negative"),
        (("--soak", "0"), "--soak 0 can't be"),
        (("--soak", "5", "--clients", "1", "2"), "--soak is one load"),
        (("--soak", "0.01"), "a window of 2 s is longer"),
        (("--require", "p99<1s@70000clients"), "70000 can't be"),
        (("--require", "p99<1s@2000000rps"), "2e+06 can't be sent"),
        (("--slo", "fast"), "'fast' is no objective"),
        (("--slo", "p99<60s"), "give a longer --deadline"),
        (("--require", "speed>9000"), "no metric"),
    ],
)
def test_what_can_not_be_is_a_sentence_and_status_2(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("loadtest: ")
    assert len(error.splitlines()) == 1


def test_an_output_that_can_not_be_written_is_refused_before_any_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["--url", "127.0.0.1:1", "--output", str(file / "folder")]) == 2
    assert "the report can't be written" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_a_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--url", "127.0.0.1:1", "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "127.0.0.1:1" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("faces:8002", "http://faces:8002/metrics"),
        ("https://faces/gateway/metrics", "https://faces/gateway/metrics"),
        ("", ""),
    ],
)
def test_metrics_are_at_a_port_or_a_url(given: str, read: str) -> None:
    assert plan_of("--metrics-url", given).metrics_url == read
