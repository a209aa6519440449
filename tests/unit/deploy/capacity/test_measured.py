"""Service times of a load test's report, and what a report has to have for them."""

import dataclasses

import numpy as np
import pytest

from deploy.capacity.measured import Measured, batches, measured_of, shares
from deploy.capacity.queueing.loads import closed_loop
from deploy.loadtest.results import PEERS, Step
from tests.helpers.capacity_runs import ALONE, BUSY, RATE, photo_run, without


@pytest.fixture(scope="module")
def measured() -> Measured:
    return measured_of(photo_run())


def test_processor_time_of_both_loads_is_the_work_of_each_part(measured: Measured) -> None:
    times = measured.service_times()
    assert (times.gateway.alone, times.gateway.busy) == pytest.approx((1.8e-3, 1.5e-3))
    assert (times.triton.alone, times.triton.busy) == pytest.approx((1.8e-3, 1.2e-3))
    (photo,) = times.before
    assert (photo.name, photo.holds, photo.processes) == ("photo_analysis", True, 6)
    assert photo.work.busy == pytest.approx(12.2e-3)
    assert times.engine.row.busy == pytest.approx(12.4e-3)
    assert times.behind == []


def test_the_simulated_server_has_the_measured_latency_and_about_the_rate(measured: Measured) -> None:
    times = measured.service_times()
    assert closed_loop(times, clients=1, requests=2000, seed=3).mean == pytest.approx(0.031, rel=0.03)
    assert closed_loop(times, clients=16, requests=2000, seed=3).rate == pytest.approx(RATE, rel=0.2)


def test_what_all_else_takes_of_the_cores_slows_the_busy_ones(measured: Measured) -> None:
    slower = dataclasses.replace(measured, others=0.1).service_times()
    assert slower.full_speed == pytest.approx(0.9)
    rates = [
        closed_loop(times, clients=16, requests=2000, seed=3).rate
        for times in (slower, measured.service_times())
    ]
    assert rates[0] < 0.95 * rates[1]


def test_latencies_are_spread_as_those_of_the_one_client(measured: Measured) -> None:
    spread = measured.service_times().spread
    assert len(spread) == 640
    assert spread.mean() == pytest.approx(1.0)
    assert spread.std() == pytest.approx(0.1, rel=0.15)


def test_processes_and_streams_are_those_that_the_report_names() -> None:
    serves = {"instances": {"photo_analysis": 3, "face_engine": 2}, "engine": {"streams": "4"}}
    times = measured_of(photo_run(about={"machine": {"cores": 8}, "serves": serves})).service_times()
    assert (times.cores, times.before[0].processes) == (8, 3)
    assert (times.engine.instances, times.engine.streams) == (2, 4)


def test_processes_that_only_the_gateway_s_own_looks_come_to_have_no_part(measured: Measured) -> None:
    assert BUSY["face_detect"] > 0.05
    assert [step.name for step in measured.service_times().before] == ["photo_analysis"]


def test_larger_parts_of_a_batch_show_what_each_part_takes(measured: Measured) -> None:
    # 10.8 core-ms a face in batches of 8, two parts of four: 1 - 1/4 of what a part takes less than alone.
    full = dataclasses.replace(
        measured, busy={**BUSY, "face_engine": 10.5}, busy_engine={8: (100, 50.0)}, engine={8: (100, 50.0)}
    )
    engine = full.service_times().engine
    assert engine.part.busy == pytest.approx((13.5e-3 - 10.5e-3) / (1 - 1 / 4))
    assert engine.part.busy + engine.row.busy == pytest.approx(13.5e-3)


def test_an_engine_that_is_no_process_is_a_device_with_the_measured_times_of_batches() -> None:
    gpu = {part: value for part, value in BUSY.items() if part != "face_engine"}
    found = measured_of(photo_run(alone=gpu, busy=gpu)).service_times().engine
    assert found.on_device
    assert found.seconds == pytest.approx({1: (640 * 13.5e-3 + 600 * 20e-3) / 1240, 2: 26e-3})


def test_clients_of_the_same_machine_are_subtracted_and_noted(measured: Measured) -> None:
    assert measured.service_times().client_here
    (note,) = measured.notes
    assert "0.6 core-ms an answer are subtracted" in note
    elsewhere = {part: value for part, value in BUSY.items() if part != "client"}
    assert measured_of(photo_run(busy=elsewhere)).notes == []


def test_a_generator_that_was_the_limit_is_noted() -> None:
    found = measured_of(photo_run(limit="the generator may have been the limit"))
    assert "16 clients: the generator may have been the limit" in found.notes


def test_bytes_come_of_the_work_by_its_shares() -> None:
    work = [{"kind": "a", "share": 3, "bytes": 100}, {"kind": "b", "share": 1, "bytes": 500}]
    found = measured_of(photo_run(about={"machine": {"cores": 2}, "work": work}))
    assert (found.request_bytes, found.answer_bytes) == (200, 0)
    assert measured_of(photo_run()).answer_bytes == 10_000


@pytest.mark.parametrize(
    ("clients", "sentence"), [(1, "has no load of one client"), (16, "has no load of many clients")]
)
def test_a_report_without_one_of_the_loads_says_which_and_how_it_is_measured(
    clients: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=rf"{sentence}: .*python -m deploy.loadtest --clients 1 16"):
        measured_of(without(photo_run(), clients))


@pytest.mark.parametrize(
    ("alone", "busy", "sentence"),
    [
        ({}, BUSY, "no processor time by process, as the server ran elsewhere"),
        (ALONE, {}, "no processor time by process, as the server ran elsewhere"),
        (ALONE, {"client": 1.0}, "not known by process"),
    ],
)
def test_a_report_without_processor_time_is_refused(
    alone: dict[str, float], busy: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        measured_of(photo_run(alone=alone, busy=busy))


def test_a_report_that_names_no_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the cores of the machine"):
        measured_of(photo_run(about={}))


@pytest.mark.parametrize("work", [[{"kind": "photo", "share": None, "bytes": 5}], [{"bytes": "5"}]])
def test_work_whose_bytes_are_no_numbers_is_refused(work: list[dict[str, object]]) -> None:
    run = photo_run()
    with pytest.raises(ValueError, match="no number"):
        measured_of(dataclasses.replace(run, about={**run.about, "work": work}))


def test_executions_of_several_stages_add_up() -> None:
    steps = [
        Step(model="m", requests=1, batch=1, queue=0, copy_in=0, infer=0, copy_out=0, infer_by_batch=by_batch)
        for by_batch in ({"1": (10, 2.0), "4": (1, 8.0)}, {"1": (30, 4.0), "2": (0, 0.0)})
    ]
    assert batches(steps) == {1: (40, pytest.approx(3.5)), 4: (1, 8.0)}
    assert shares(steps[:1], answers=2) == {"m": 0.5}


def test_no_latency_is_no_measurement(measured: Measured) -> None:
    with pytest.raises(ValueError, match="not known by process"):
        dataclasses.replace(measured, latency=np.array([]))


def test_loads_beside_other_tools_are_no_part_of_it() -> None:
    run = photo_run()
    one, many = run.stages
    window = dataclasses.replace(many.windows[0], ended=9999)
    crops = dataclasses.replace(many, section=PEERS, windows=[window])
    assert measured_of(dataclasses.replace(run, stages=(crops, one, many))).rate == measured_of(run).rate
