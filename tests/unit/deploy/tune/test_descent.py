"""Which settings a sweep chooses, by measurements that are made up."""

import dataclasses
from collections.abc import Callable

import pytest

from build.serving.host_settings import HostSettings
from deploy.tune.descent import Duel, NotMeasured, Round, Trial, confirmed, descend, reasons
from deploy.tune.knobs import Form, Knob, forms, knobs

START = HostSettings.for_host("cpu", 4)
ROUNDS = 5

Costs = Callable[[HostSettings], tuple[float, float]]  # answers a second, core-ms


def duel(*, rate: float = 1.0, core_ms: float = 1.0, spoilt: int = 0) -> Duel:
    """A challenger with these ratios, but for so many rounds in which it is the other way round."""
    pairs = [(1 / rate, 1 / core_ms)] * spoilt + [(rate, core_ms)] * (ROUNDS - spoilt)
    return Duel(
        incumbent=(Round(rate=10.0, core_ms=20.0),) * ROUNDS,
        challenger=tuple(Round(rate=10.0 * rate, core_ms=20.0 * core_ms) for rate, core_ms in pairs),
    )


class FakeMachine:
    """Measures by a formula, and counts how often."""

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self.compared: list[str] = []

    def compare(self, incumbent: HostSettings, challenger: HostSettings, workload: str) -> Duel:
        self.compared.append(workload)
        old, new = self.costs(incumbent), self.costs(challenger)
        return Duel(
            incumbent=(Round(rate=old[0], core_ms=old[1]),) * ROUNDS,
            challenger=(Round(rate=new[0], core_ms=new[1]),) * ROUNDS,
        )


def all_knobs() -> list[Knob]:
    return knobs(4, engine_forms=forms(4))


def by_formula(settings: HostSettings) -> tuple[float, float]:
    """One-thread streams are cheapest; two of face_preprocess are fastest; nothing else matters."""
    engine = settings.engine
    core_ms = 20.0 + 2.0 * (engine.threads / engine.streams - 1)
    rate = 100.0 - 20.0 * abs(settings.face_preprocess.instances - 2)
    return rate, core_ms


@pytest.mark.parametrize(
    ("compared", "won"),
    [
        (duel(rate=1.2), True),
        (duel(rate=1.2, core_ms=1.1), True),
        (duel(rate=1.02), False),
        (duel(core_ms=0.9), True),
        (duel(core_ms=0.99), False),
        (duel(core_ms=0.9, rate=0.9), False),
        (duel(rate=1.2, spoilt=1), True),
        (duel(rate=1.2, spoilt=2), False),
        (duel(core_ms=0.9, spoilt=2), False),
        (duel(), False),
    ],
)
def test_a_challenger_wins_by_more_answers_or_by_cheaper_ones_in_most_rounds(
    compared: Duel, won: bool
) -> None:
    assert compared.won is won


@pytest.mark.parametrize(
    ("checks", "good"),
    [
        ([duel(rate=1.2), duel()], True),
        ([duel(), duel()], False),
        ([duel(rate=1.2), duel(rate=0.8)], False),
        ([duel(core_ms=0.9), duel(core_ms=1.1)], False),
        ([], False),
    ],
)
def test_what_was_taken_is_kept_if_all_of_it_together_is_better_than_the_start(
    checks: list[Duel], good: bool
) -> None:
    assert confirmed(checks) is good
    if not good:
        assert "no better than the start" in reasons([], START, not_confirmed=True)["device"]


def test_the_best_position_of_every_knob_is_found_and_what_does_not_matter_stays() -> None:
    start = dataclasses.replace(
        START, face_preprocess=dataclasses.replace(START.face_preprocess, instances=1)
    )
    settings, trials = descend(start, all_knobs(), FakeMachine(by_formula).compare, time_left=lambda: True)
    assert settings.engine.threads == settings.engine.streams
    assert settings.face_preprocess.instances == 2
    assert settings.photo_analysis == start.photo_analysis
    assert settings.face_detect == start.face_detect
    assert all(trial.duel is not None for trial in trials)


def test_a_knob_is_turned_under_the_load_that_it_is_about() -> None:
    machine = FakeMachine(by_formula)
    descend(START, all_knobs(), machine.compare, time_left=lambda: True)
    tried = [knob.workload for knob in all_knobs() for _ in knob.others(START)]
    assert sorted(machine.compared) == sorted(tried)


def test_without_time_the_rest_stays_as_it_is_and_is_recorded_as_not_measured() -> None:
    machine, left = FakeMachine(by_formula), iter([True, True])
    settings, trials = descend(START, all_knobs(), machine.compare, time_left=lambda: next(left, False))
    assert len(machine.compared) == 2
    assert sum(trial.duel is None for trial in trials) == len(trials) - 2
    assert settings.photo_analysis == START.photo_analysis


def test_a_server_that_fails_ends_its_own_trial_only() -> None:
    machine = FakeMachine(by_formula)

    def compare(incumbent: HostSettings, challenger: HostSettings, workload: str) -> Duel:
        if challenger.photo_analysis != START.photo_analysis:
            raise NotMeasured("the server did not start")
        return machine.compare(incumbent, challenger, workload)

    settings, trials = descend(START, all_knobs(), compare, time_left=lambda: True)
    assert settings.photo_analysis == START.photo_analysis
    failed = [trial for trial in trials if trial.duel is None]
    assert {trial.why_not for trial in failed} == {"the server did not start"}
    assert {trial.knob.name.partition(".")[0] for trial in failed} == {"photo_analysis"}
    assert "not measured, the server did not start" in reasons(trials, settings)["photo_analysis.instances"]


def test_the_file_has_the_reason_of_each_choice() -> None:
    start = dataclasses.replace(START, engine=dataclasses.replace(START.engine, threads=4, streams=1))
    settings, trials = descend(start, all_knobs(), FakeMachine(by_formula).compare, time_left=lambda: True)
    why = reasons(trials, settings)
    assert set(why) == {knob.keys[0] for knob in all_knobs()}
    assert "so it was taken" in why["engine.instances"]
    assert "times the answers a second" in why["photo_analysis.instances"]
    read = HostSettings.from_toml(settings.to_toml(why), where="x", device="cpu", cores=1)
    assert read == settings
    unmeasured = [
        Trial(knob=all_knobs()[0], position="9", incumbent="1", duel=None, why_not="there was no time")
    ]
    assert "there was no time" in reasons(unmeasured, START)["engine.instances"]


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64, 192])
def test_what_is_tried_fits_the_cores(cores: int) -> None:
    start = HostSettings.for_host("cpu", cores)
    tried = forms(cores)
    assert all(1 <= form.instances * form.threads <= max(cores, 1) for form in tried)
    assert all(form.threads % form.streams == 0 for form in tried)
    assert Form(instances=1, threads=cores, streams=cores) in tried
    positions = [knob.others(start) for knob in knobs(cores, engine_forms=tried)]
    assert sum(map(len, positions)) <= 45, "no sweep of an afternoon"
    for position in (each for others in positions for each in others):
        assert position.settings != start
