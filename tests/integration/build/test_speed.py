"""Ways are compared in turns, warm, by their medians; torch is asked on the same faces as the engine."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from build.acceptance import speed as measure
from build.errors import BuildError
from training.train import random_initialisation


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of our own: [seconds]."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def _way(clock: list[float], *, faces: int, takes: list[float]) -> Callable[[], int]:
    """Answers `faces` a call; the calls take these seconds, the last one again and again."""

    def work() -> int:
        clock[0] += takes.pop(0) if len(takes) > 1 else takes[0]
        return faces

    return work


def test_a_rate_counts_the_faces_of_every_call_over_the_time_they_took(clock: list[float]) -> None:
    assert measure.rate(_way(clock, faces=8, takes=[0.5]), seconds=1.2) == pytest.approx(16.0)
    # One call that takes longer than asked for is a whole measurement.
    assert measure.rate(_way(clock, faces=8, takes=[4.0]), seconds=1.2) == pytest.approx(2.0)


def test_the_first_round_is_not_counted_and_one_slow_round_changes_nothing(clock: list[float]) -> None:
    way = _way(clock, faces=1, takes=[50.0, 2.0, 2.0, 30.0, 2.0, 2.0])
    found = measure.faces_per_second({"way": way}, rounds=5, seconds=1.0)
    assert found == {"way": pytest.approx(0.5)}


def test_ways_take_turns() -> None:
    asked: list[str] = []

    def asking(name: str) -> Callable[[], float]:
        def way() -> float:
            asked.append(name)
            return 1.0

        return way

    told: list[str] = []
    measure.medians({"a": asking("a"), "b": asking("b")}, rounds=2, progress=told.append)
    assert asked == ["a", "b"] * 3
    assert told[-1] == "round 2 of 2: b: 1.0/s"


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        measure.faces_per_second({}, rounds=0, seconds=1.0)


def test_an_engine_is_measured_beside_torch_at_every_batch(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    random_initialisation.main(["qface_tiny", "--output", str(path)])
    seen: set[tuple[int, ...]] = set()

    def engine(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        assert pixels.dtype == np.uint8
        seen.add(pixels.shape)
        time.sleep(0.001)
        return {}

    found = measure.measure(path, engine, batches=(1, 2), rounds=1, seconds=0.01)
    assert seen == {(1, 112, 112, 3), (2, 112, 112, 3)}
    assert list(found) == ["1", "2"]
    for rates in found.values():
        assert rates["ratio"] == pytest.approx(rates["engine"] / rates["torch_eager_fp32"])
        assert rates["torch_eager_fp32"] > 0


def test_torch_counts_with_as_many_threads_as_serve_it_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.safetensors"
    random_initialisation.main(["qface_tiny", "--output", str(path)])
    rates = {1: 30.0, 2: 4.0}
    threads = torch.get_num_threads()
    used: list[int] = []

    def rate(work: Callable[[], int], *, seconds: float) -> float:
        torch.set_num_threads(7)  # what torch's ways must set
        work()
        used.append(torch.get_num_threads())
        return rates.get(used[-1], 60.0)  # the engine's leaves it at 7

    monkeypatch.setattr(measure, "rate", rate)
    torch.set_num_threads(2)
    try:
        found = measure.measure(path, lambda pixels: {}, batches=(1,), rounds=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert used == [2, 1, 7] * 2
    assert found == {"1": {"torch_eager_fp32": 30.0, "engine": 60.0, "ratio": 2.0}}


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="does not exist"):
        measure.measure(tmp_path / "gone.safetensors", lambda pixels: {})
