"""`qface bench` and `qface doctor` against the real server: all is well, each part of the time is stated."""

import json

import pytest

from deploy.gateway.operation.service import GatewayServer
from qface_client.cli import main
from tests.helpers.client_doctor import doctor
from tests.helpers.paths import ROOT

PORTRAIT = str(ROOT / "tests" / "assets" / "portraits" / "hopper.jpg")


def test_the_way_to_a_good_server_is_well(server: GatewayServer, capsys: pytest.CaptureFixture[str]) -> None:
    report = doctor(capsys, server.grpc_address, "--photo", PORTRAIT)
    assert (report.status, report.wrong, report.skipped) == (0, [], [])
    canary = report.of("canary")["sentence"]
    assert "1 face:" in canary
    assert all(part in canary for part in ("network", "client", "queue", "compute"))


def test_a_benchmark_states_the_servers_share_and_the_clients(
    server: GatewayServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--url", server.grpc_address, "--seconds", "0.3", "--clients", "1,2", "--json")
    assert main(["bench", PORTRAIT, *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    one, two = found["rounds"]
    assert {"total", "queue", "triton"} <= one["server_ms"].keys()
    assert 0 < one["overhead_ms"]["p50"] < one["call_ms"]["p50"]
    assert two["calls"] >= 2
