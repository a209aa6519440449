"""The ideal queue is the one of the textbooks."""

import pytest

from deploy.capacity.ideal_queue import latencies, main


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_core_waits_as_long_as_pollaczek_and_khinchine_say(load: float) -> None:
    waits = latencies(cores=1, load=load, requests=200_000, seed=0) - 1
    assert waits.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def test_a_second_core_takes_what_waits_and_an_idle_one_answers_at_once() -> None:
    one, two = (latencies(cores=cores, load=0.8, requests=20_000, seed=0).mean() for cores in (1, 2))
    assert two < one
    assert latencies(cores=2, load=1e-6, requests=100, seed=0) == pytest.approx(1)


def test_a_load_that_no_queue_bears_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--loads", "1"])
    assert "lie between 0 and 1" in capsys.readouterr().err
