"""`python -m deploy.loadtest` against the default server: the report has what it measures, not its key."""

from pathlib import Path

import pytest

from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.__main__ import main
from deploy.loadtest.command.access import KEY
from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.results import Run


def test_a_run_has_its_stages_the_server_and_the_work_and_no_key(
    server: GatewayServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, "s3cret-k3y")  # which this server does not ask for
    words = ["--url", server.grpc_address, "--clients", "2", "--rates", "4", "--arrivals", "even"]
    assert main([*words, "--seconds", "1.5", "--warm-up", "0", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    run = Run.read(tmp_path / "report.json")
    assert [stage.load for stage in run.stages] == [ClosedLoop(clients=2), OpenLoop(rate=4, arrivals="even")]
    for stage in run.stages:
        assert stage.codes["OK"] > 0
        assert set(stage.codes) == {"OK"}
        assert stage.faces > 0
    assert run.about["target"] == {"protocol": "grpc", "address": server.grpc_address, "secure": False}
    assert "photo_analysis" in run.about["serves"]["models"]
    assert run.about["work"][0]["kind"] == "photo"
    assert printed.out == (tmp_path / "report.md").read_text() + "\n"
    assert "sweep: 2 clients" in printed.err
    everything = [path.read_text() for path in tmp_path.iterdir()] + [printed.out, printed.err]
    assert not any("s3cret-k3y" in text for text in everything)
