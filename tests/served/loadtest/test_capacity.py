"""What the capacity model is fed with, measured of the real server."""

import numpy as np
import pytest

from deploy.capacity.measured import ENGINE, GATEWAY, TRITON
from deploy.capacity.queueing.loads import closed_loop
from deploy.capacity.trials import ALONE, FULL, load_of, trials
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.paths import ROOT


def test_a_server_is_measured_from_both_sides_and_simulated(server: GatewayServer) -> None:
    with trials(server, ROOT / "var" / "test" / "repository", "photo", real_time=False) as of:
        alone, many = of.run(ALONE, 1.0), of.run(FULL, 1.0)
        arrived = of.run(load_of(20.0, 0.5), 1.0)
    measured = of.measured([alone], [many])
    assert {GATEWAY, TRITON, ENGINE, "photo_analysis", "client"} <= {
        part for part, core_ms in measured.busy.items() if core_ms > 0
    }
    assert measured.faces == pytest.approx(1.0)
    assert measured.request_bytes > 1000
    assert sum(count for count, _ in measured.busy_engine.values()) > 0
    times = measured.service_times()
    assert [step.name for step in times.before] == ["photo_analysis"]
    assert closed_loop(times, clients=1, requests=200, seed=0).mean == pytest.approx(
        alone.latency.mean(), rel=0.3
    )
    assert np.all(np.diff(arrived.arrivals) >= 0)
    assert len(arrived.latency) + arrived.unanswered == len(arrived.arrivals)
