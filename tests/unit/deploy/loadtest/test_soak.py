"""What a soak says of the time between its first third and its last."""

import pytest

from deploy.loadtest.loads import OpenLoop
from deploy.loadtest.soak import WINDOWS, latency_drift, memory_drift, soak_settings, with_drift
from deploy.loadtest.stage import Settings
from tests.helpers.load_runs import simulated_stage

MIB = 2**20


def test_a_steady_server_has_no_drift() -> None:
    stage = simulated_stage(OpenLoop(rate=20), windows=60)
    assert "latency does not drift" in latency_drift(stage.measured)


def test_a_server_that_becomes_slower_has_its_percentiles_of_both_thirds() -> None:
    fast = simulated_stage(OpenLoop(rate=20), windows=20).measured
    slow = simulated_stage(OpenLoop(rate=20), windows=20, parts={"engine": 0.056}).measured
    sentence = latency_drift([*fast, *slow, *slow])
    assert "drifts by more than 10% and beyond noise" in sentence
    assert "p50" in sentence
    assert "p99" in sentence


def test_too_few_windows_for_thirds_have_no_sentence() -> None:
    assert latency_drift(simulated_stage(OpenLoop(rate=20), windows=3).measured) == ""


def test_a_process_that_grows_is_named_and_one_that_does_not_is_not() -> None:
    readings = [{"engine": 500 * MIB, "gateway": (100 + number) * MIB} for number in range(30)]
    sentence = memory_drift(readings)
    assert "gateway 104 to 124 MiB" in sentence
    assert "engine" not in sentence


def test_memory_that_stays_is_said_to() -> None:
    assert "no process grows" in memory_drift([{"engine": 500 * MIB}] * 9)


def test_the_sentences_are_in_the_stage() -> None:
    stage = with_drift(simulated_stage(OpenLoop(rate=20), windows=12), [{"engine": MIB}] * 9)
    assert ["latency" in note or "memory" in note for note in stage.server.notes] == [True, True]


@pytest.mark.parametrize("minutes", [1, 60, 60 * 24 * 7])
def test_a_soak_has_few_windows_however_long_it_is(minutes: float) -> None:
    settings = soak_settings(Settings(), minutes)
    assert settings.seconds == 60 * minutes
    assert settings.windows <= WINDOWS
