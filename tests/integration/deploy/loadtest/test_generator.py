"""The generator against a real server whose one model does what a crop's first bytes command."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.generator import GeneratorError, GeneratorPool
from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import Stage
from deploy.loadtest.server.side import server_side
from deploy.loadtest.stage import Settings, measure_stage
from deploy.loadtest.work.question import Question
from deploy.measuring.processes import running
from qface_client.measuring.histogram import Histogram
from tests.helpers import slow_repository
from tests.helpers.gateways import PATIENT
from tests.helpers.slow_repository import TAKES_LONG, crop

STALL = 5.0  # seconds that the model sleeps, once
SHORT = Settings(seconds=1.0, window=0.5, warm_up=0.0)
QUESTION = Question(kind="crop", model="echo", inputs={"crop": np.full((1, 4, 4, 3), 7, np.uint8)})


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    repository = slow_repository.write(tmp_path_factory.mktemp("echo") / "repository")
    with GatewayServer(repository, arguments=(*PATIENT, "--queue-seconds", "3600")) as running:
        yield running


@pytest.fixture(scope="module")
def pool(echo: GatewayServer) -> Iterator[GeneratorPool]:
    with pool_of(echo, processes=2) as made:
        yield made


def pool_of(server: GatewayServer, *, processes: int = 1, **words: Any) -> GeneratorPool:
    target = Target(protocol="grpc", address=server.grpc_address)
    return GeneratorPool(target, [QUESTION], processes=processes, **{"deadline": 20.0, **words})


def measured(pool: GeneratorPool, load: Load, settings: Settings = SHORT) -> Stage:
    return measure_stage(pool, load, section="rates", settings=settings)


def test_an_open_loop_shows_a_stall_that_a_closed_loop_hides(echo: GatewayServer) -> None:
    """Both at once, so that it is the very same stall."""
    settings = Settings(seconds=STALL + 2.5, window=0.5, warm_up=0.0)
    with (
        pool_of(echo, deadline=600.0) as one,  # what waited for a stall makes the gateway expect others
        pool_of(echo, deadline=600.0) as other,
        ThreadPoolExecutor() as threads,
        grpc.insecure_channel(echo.grpc_address) as channel,
    ):
        closed = threads.submit(measured, one, ClosedLoop(clients=1), settings)
        opened = threads.submit(measured, other, OpenLoop(rate=40, arrivals="even"), settings)
        time.sleep(1.0)
        stall = crop(TAKES_LONG, round(10 * STALL))
        v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(stall, timeout=60)
        hiding, showing = closed.result(), opened.result()
    for stage in (hiding, showing):  # both know of it
        assert stage.gap > 0.9 * STALL
        assert set(stage.codes) == {"OK"}, stage.failures
    begin = showing.gap_begin
    during = [
        window for window in showing.windows if begin < window.begin and window.begin + 0.5 < begin + STALL
    ]
    assert len(during) >= 8
    assert Histogram.merged(window.all_latency for window in during).percentile(0.99) > 0.85 * STALL
    assert showing.latency.percentile(0.99) > 0.8 * STALL
    assert hiding.latency.percentile(0.99) < 0.5 * STALL


def test_every_request_that_was_sent_has_its_record(pool: GeneratorPool) -> None:
    """The server's own count of what it executed is the answers' count."""
    for load in (ClosedLoop(clients=5), OpenLoop(rate=150), OpenLoop(rate=60, arrivals="bursty")):
        with server_side(pool.target, [QUESTION]) as side:
            before = side.look()
            records, codes = pool.run(load, 0.8)
            after = side.look()
        answers = int((records["code"] == codes.index("OK")).sum())
        (executed,) = (
            step.requests
            for step in side.between(before, after, latency={}, client_core_seconds=0.0).steps
            if step.model == "echo"
        )
        assert executed == answers > 0
        assert (records["ended"] >= records["sent"]).all()
        assert (records["sent"] >= records["due"]).all()


def test_an_open_loop_over_several_processes_has_the_rate_that_was_ordered(pool: GeneratorPool) -> None:
    stage = measured(pool, OpenLoop(rate=120, arrivals="even"))
    assert stage.offered == pytest.approx(120, rel=0.05)
    assert stage.due == sum(sum(window.codes.values()) for window in stage.measured)


def test_the_measured_part_begins_once_the_load_has_settled_or_the_warm_up_is_over(
    pool: GeneratorPool,
) -> None:
    stage = measured(pool, ClosedLoop(clients=2), Settings(seconds=1.0, window=0.25, warm_up=2.0, spread=5.0))
    assert 3 <= stage.warm_up < 8
    assert len(stage.measured) == 4
    assert stage.seconds == pytest.approx(1.0)


def test_requests_that_can_not_be_sent_by_their_deadline_are_recorded(echo: GatewayServer) -> None:
    with pool_of(echo, deadline=1e-5) as pool:
        stage = measured(pool, OpenLoop(rate=100), Settings(seconds=0.5, window=0.5, warm_up=0.0))
    assert stage.codes["NOT_SENT"] == stage.due > 0
    assert "not sent" in stage.generator.limit


def test_a_process_that_dies_is_said_the_rest_is_kept_and_none_is_left(echo: GatewayServer) -> None:
    with pool_of(echo, processes=2) as pool:
        pids = pool.pids
        threading.Timer(1.0, os.kill, (pids[1], signal.SIGKILL)).start()
        stage = measured(pool, OpenLoop(rate=100), Settings(seconds=10.0, window=0.5, warm_up=0.0))
        pool.begin(ClosedLoop(clients=1), longest=60.0)
    assert "generator process 2 was ended by SIGKILL" in stage.ended
    assert running(pids) == []  # those of a load that goes on too
    assert stage.codes["OK"] > 30
    assert stage.generator.limit


def test_a_question_that_no_message_can_be_made_of_keeps_the_generator_from_starting(
    echo: GatewayServer,
) -> None:
    target = Target(protocol="grpc", address=echo.grpc_address)
    unsendable = Question(kind="complex", model="echo", inputs={"crop": np.zeros(3, np.complex64)})
    with (
        pytest.raises(GeneratorError, match="generator process 1 failed"),
        GeneratorPool(target, [unsendable], processes=1, deadline=1.0),
    ):
        pass
