"""The soak's measuring: what grows is found, noise and a warm-up are not, and a partial run is reported."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deploy.benchmark.load.clients import Reply
from deploy.benchmark.soak import report, run
from deploy.benchmark.soak.__main__ import main
from deploy.benchmark.soak.census import Held, Sample
from deploy.benchmark.soak.run import Plan, Recorder, Soak
from deploy.benchmark.soak.trends import Point, Trend, Verdict, trend
from deploy.measuring.processes import role_of

MIB = 2**20
REQUESTS = range(0, 20_001, 250)


def wandering(seed: int, *, by: float) -> np.ndarray:
    """Noise whose neighbours resemble one another, of a standard deviation of about 2 `by`."""
    random = np.random.default_rng(seed)
    values = [0.0]
    for _ in REQUESTS[1:]:
        values.append(0.85 * values[-1] + random.normal(0, by))
    return np.array(values)


def trend_of(value: Callable[[int], float], *, noise: float = 0.0, seed: int = 0) -> Trend:
    lumps = wandering(seed, by=noise)
    return trend(
        Point(requests=requests, value=value(requests) + lump)
        for requests, lump in zip(REQUESTS, lumps, strict=True)
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_megabyte_per_thousand_requests_is_found(seed: int) -> None:
    found = trend_of(lambda requests: 300 * MIB + requests * MIB / 1000, noise=0.5 * MIB, seed=seed)
    assert found.verdict is Verdict.GROWS
    assert 0 < found.low < found.slope < found.high
    assert found.slope == pytest.approx(MIB, rel=0.15)
    assert found.end - found.start == pytest.approx(19 * MIB, rel=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_noise_whose_neighbours_resemble_one_another_is_no_growth(seed: int) -> None:
    assert trend_of(lambda requests: 300 * MIB, noise=MIB, seed=seed).verdict is not Verdict.GROWS


@pytest.mark.parametrize("step_at", [300, 2000])
def test_a_step_while_it_warms_up_is_no_growth(step_at: int) -> None:
    def value(requests: int) -> float:
        return (300 + 60 * (requests > step_at)) * MIB

    assert trend_of(value, noise=0.2 * MIB).verdict in (Verdict.FLAT, Verdict.SETTLES)


def test_what_saturates_settles() -> None:
    found = trend_of(lambda requests: (300 - 40 * np.exp(-requests / 2000)) * MIB)
    assert found.verdict is Verdict.SETTLES


def test_growth_that_comes_to_little_over_a_hundred_thousand_requests_is_flat() -> None:
    found = trend_of(lambda requests: 300 * MIB + requests * 0.1 * MIB / 1000)
    assert found.low > 0
    assert found.verdict is Verdict.FLAT


def test_a_constant_has_no_slope() -> None:
    found = trend_of(lambda requests: 12.0)
    assert (found.start, found.end, found.slope, found.low, found.high) == (12, 12, 0, 0, 0)
    assert found.verdict is Verdict.FLAT


def of_lives(grow: float) -> Sequence[Point]:
    """A process that is replaced at every 5,000 requests, warms up by 50 MiB, and then grows so fast."""
    return [
        Point(
            requests=requests,
            value=(200 + 50 * min(1.0, requests % 5000 / 400) + grow * (requests % 5000) / 1000) * MIB,
            life=requests // 5000,
        )
        for requests in REQUESTS
    ]


def test_each_life_warms_up_anew_and_the_longest_shows_whether_it_settles() -> None:
    def value(age: int) -> float:
        return (300 - 60 * np.exp(-age / 1500)) * MIB

    swaps = (0, 1500, 3000, 4500)
    points = [
        Point(requests=requests, value=value(requests - born), life=born)
        for requests in REQUESTS
        for born in [max(swap for swap in swaps if swap <= requests)]
    ]
    assert trend(points).verdict in (Verdict.SETTLES, Verdict.FLAT)


def test_replaced_processes_are_not_compared_with_one_another() -> None:
    assert trend(of_lives(0.0)).verdict is Verdict.FLAT
    leak = trend(of_lives(1.0))
    assert leak.verdict is Verdict.GROWS
    assert leak.slope == pytest.approx(MIB, rel=0.01)


def test_too_few_points_have_no_verdict() -> None:
    points = [Point(requests=requests, value=1.0) for requests in range(0, 1000, 100)]
    assert trend(points).verdict is Verdict.TOO_SHORT
    assert trend([]).verdict is Verdict.TOO_SHORT


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/x/python -m deploy.gateway --repository r --grpc-port 0", "supervisor"),
        ("/x/python -m deploy.gateway.operation.main_process --repository r", "main process"),
        (
            "/x/python -I -S /x/process_guard.py 20 0 qface_1_ /x/tritonserver --model-repository=/r/models",
            "guard",
        ),
        ("/x/python -m deploy.gateway.operation.workers.front_process 19", "front process"),
        ("/x/tritonserver --model-repository=/r/models", "tritonserver"),
        ("/x/triton_python_backend_stub /r/models/face_engine/1/model.py qface_1_ 1 2", "face_engine"),
        ("/usr/bin/git status", "other"),
    ],
)
def test_processes_are_known_by_their_command_lines(command: str, role: str) -> None:
    assert role_of(command) == role


def sample(requests: int, *, rss: int, tritons: int = 1) -> Sample:
    held = [
        Held(role="tritonserver", pid=9, started=1, rss=rss, pss=rss, uss=rss, descriptors=30, threads=12),
        Held(role="supervisor", pid=1, started=1, rss=5, pss=5, uss=5, descriptors=7, threads=2),
    ]
    return Sample(
        requests=requests,
        seconds=requests / 10,
        processes=tuple(held),
        regions=3,
        region_bytes=2 * MIB,
        region_peak=4 * MIB,
        tritons=tritons,
    )


def test_what_was_written_before_a_kill_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder(tmp_path)
    for requests in range(0, 4001, 100):
        recorder.add(sample(requests, rss=400 * MIB + requests * MIB // 100), [])
    assert json.loads((tmp_path / "progress.json").read_text())["requests"] == 0
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write('{"requests": 4100, "seco')  # it was killed while it wrote
    assert main(["--report", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "| tritonserver | 407.0 | 438.0 | +10.000 | +10.000 to +10.000 | grows | 407.0" in printed
    assert "| supervisor | 7 | 7 | 0 | flat | 2 | 2 | 0 | flat |" in printed
    assert (tmp_path / "report.md").read_text().strip() == printed.strip()


def test_totals_leave_out_what_was_measured_during_a_swap() -> None:
    samples = [
        sample(requests, rss=100, tritons=2 if requests == 2000 else 1) for requests in range(0, 4000, 100)
    ]
    totals = [each for each in report.series_of(samples) if each.role == "all"]
    assert {each.trend.points for each in totals} == {34}


class Broken:
    """A client that makes a mistake with its twentieth request."""

    model = "broken"

    def __init__(self) -> None:
        self._sent = 0

    def send(self, deadline: float) -> Reply:
        self._sent += 1
        if self._sent == 20:
            raise ValueError("a mistake")
        return Reply()

    def close(self) -> None: ...


def test_a_clients_own_mistake_ends_the_run_and_what_was_measured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_LOOK_SECONDS", 0.01)
    recorder = Recorder(tmp_path)
    gateway = SimpleNamespace(supervisor_pid=os.getpid())
    soak = Soak(
        gateway,  # type: ignore[arg-type]
        [Broken],
        plan=Plan(requests=1000, warm_up=500, step=5),
        recorder=recorder,
        folder=tmp_path,
    )
    soak.run()
    assert soak.failures == ["a client ended by a mistake: ValueError: a mistake"]
    assert len(soak.outcomes) == 19
    assert not recorder.samples[-1].connected
    assert json.loads((tmp_path / "progress.json").read_text())["ends"]["answered"] == 19
