"""Processor time becomes core-ms of an answer in one way, by the part whose processes took it."""

import functools
import itertools
import os
import subprocess
import time

import pytest

from deploy.measuring.processor_time import core_ms, cpu_seconds
from deploy.measuring.server_processes import Parts, ServerProcesses, medians_by_part, part_of
from qface_client.measuring.sample import CLIENT, Sample


def test_core_ms_are_of_one_answer_by_part() -> None:
    sample = Sample(answers=10, seconds=2.0, core_seconds={"client": 0.1, "engine": 0.3})
    assert sample.core_ms == pytest.approx({"client": 10.0, "engine": 30.0})
    assert sample.rate == 5.0


def test_nothing_costs_nothing_that_can_be_stated_where_nothing_was_answered() -> None:
    with pytest.raises(ValueError, match="nothing was answered: measure longer"):
        _ = Sample(answers=0, seconds=1.0, core_seconds={"engine": 1.0}).core_ms


def test_idle_time_is_no_answers() -> None:
    idle = medians_by_part(
        [{"gateway": 0.01, "model": 0.5}, {"gateway": 0.03, "model": 0.5}, {"gateway": 0.9, "model": 0.5}]
    )
    sample = Sample(answers=1, seconds=2.0, core_seconds={"client": 1.0, "gateway": 0.5, "model": 0.1})
    assert sample.without_idle(idle).core_ms == pytest.approx(
        {"client": 1000.0, "gateway": 440.0, "model": 0.0}
    )


def test_samples_of_several_client_processes_are_one() -> None:
    one = Sample(answers=2, seconds=1.0, core_seconds={CLIENT: 0.2}, latencies=[0.1, 0.2])
    other = Sample(answers=1, seconds=1.5, core_seconds={CLIENT: 0.1, "more": 1.0}, latencies=[0.3])
    assert Sample.together([one, other]) == Sample(
        answers=3,
        seconds=1.5,
        core_seconds={CLIENT: pytest.approx(0.3), "more": 1.0},
        latencies=[0.1, 0.2, 0.3],
    )


def test_another_processs_time_is_read_by_its_id() -> None:
    before = time.process_time()
    read = cpu_seconds(os.getpid())
    assert before <= read <= time.process_time()
    assert cpu_seconds(os.getppid()) != read


def test_a_sample_has_what_its_processes_took_beside_what_the_clients_did() -> None:
    def work() -> Sample:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass
        return Sample(answers=1, seconds=0.0, core_seconds={CLIENT: 5.0})

    sample = Parts({"this": [os.getpid()], "none": []}).sample(work)
    assert sample.core_seconds["this"] >= 0.02
    assert sample.core_seconds["none"] == 0
    assert sample.core_seconds[CLIENT] == 5.0
    assert sample.seconds >= 0.02


def test_a_process_that_ends_under_measurement_is_named() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        processes = ServerProcesses(process.pid)
        assert list(processes.seconds()) == ["other"]
        process.kill()
    with pytest.raises(ProcessLookupError, match="a process of other ended"):
        processes.seconds()


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("/x/bin/tritonserver --model-repository=/r", "tritonserver"),
        ("/x/triton_python_backend_stub /r/models/face_engine/1/model.py triton_1", "face_engine"),
        ("python -m deploy.gateway --repository r", "gateway"),
        ("python -m deploy.gateway.operation.main_process", "gateway"),
        ("python -I -S process_guard.py 20", "gateway"),
    ],
)
def test_each_process_has_its_part(command: str, part: str) -> None:
    assert part_of(command) == part


def test_calls_take_turns_and_the_first_of_each_does_not_count() -> None:
    made: list[str] = []

    def call(name: str, *, first: float) -> None:
        end = time.process_time() + (first if name not in made else 0.0)
        while time.process_time() < end:
            pass
        made.append(name)

    calls = {name: functools.partial(call, name, first=0.2) for name in ("one", "other")}
    taken = core_ms(calls, rounds=3)
    assert made == ["one", "other"] * 4
    assert list(taken) == ["one", "other"]
    assert max(taken.values()) < 1e3 * 0.2  # what each took the first time


def test_a_short_call_is_repeated_for_some_processor_time() -> None:
    count = itertools.count()
    (taken,) = core_ms({"call": lambda: next(count)}, rounds=1, seconds=0.005).values()
    assert next(count) > 10
    assert taken > 0
