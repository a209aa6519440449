"""Other load generators measure the real server, each in a process of its own."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.__main__ import main
from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.peers import measuring
from deploy.loadtest.peers.loadgen import LoadGen
from deploy.loadtest.peers.locust_rest import Locust
from deploy.loadtest.peers.outcome import NOT_MEASURED
from deploy.loadtest.peers.perf_analyzer import PerfAnalyzer
from deploy.loadtest.peers.tool import Form, Measured, Plan, ToolError
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import PEERS, Run
from deploy.loadtest.work.question import Question
from deploy.measuring.pictures.portrait import PORTRAIT
from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

SECONDS = 2.0
PHOTO = Question(
    kind="photo",
    model="photo_analysis",
    inputs={"image": np.frombuffer(PORTRAIT.read_bytes(), np.uint8)},
    photo=PORTRAIT.read_bytes(),
    faces=1,
)
PLAN = Plan(
    questions={"photo": [PHOTO]},
    outputs={"photo_analysis": ["boxes", "scores", "parsing_runs"]},
    batched={"photo_analysis": False},
    rates={"photo": 10.0},
    seconds=SECONDS,
    slo=5.0,
    deadline=20.0,
)


@pytest.fixture(scope="module")
def python() -> str:
    """The Python of the load test's environment, which has LoadGen and locust."""
    return str(require_tool("locust").with_name("python"))


@pytest.fixture
def target(server: GatewayServer) -> Target:
    return Target(protocol="grpc", address=server.grpc_address)


@pytest.fixture
def rest(server: GatewayServer) -> Target:
    return Target(protocol="rest", address=server.rest_address)


@pytest.mark.heavy
def test_loadgens_server_scenario_has_answers_and_every_overridden_rule(python: str, target: Target) -> None:
    tool = LoadGen(python=python)
    server, _ = tool.forms(PLAN)
    measured = tool.measure(server, target, PLAN)
    assert measured.rate > 1
    assert 0 < measured.percentiles["p50"] <= measured.percentiles["p99"]
    assert "unverified" in measured.valid
    rules = [note.removeprefix("overridden: ") for note in measured.notes if note.startswith("overridden: ")]
    # What a run of two seconds, a photo and a bound of five seconds overrides, and nothing else.
    assert [rule for rule in rules if ", MLPerf " in rule] == [
        "min_duration_ms: 2 s, MLPerf 600 s",
        "min_query_count: 1, MLPerf 100",
        "performance_sample_count_override: 1, MLPerf 1024",
        "server_target_latency_ns: 5000 ms, MLPerf 15 ms",
        "query sample library: 1, MLPerf 1024",
    ]


@pytest.mark.heavy
def test_locust_posts_photos_that_are_answered(python: str, rest: Target) -> None:
    tool = Locust(python=python)
    form, *_ = tool.forms(PLAN)
    measured = tool.measure(form, rest, PLAN)
    assert measured.rate > 1
    assert 0 < measured.percentiles["p50"] <= measured.percentiles["p99"]
    assert not any("failed" in note for note in measured.notes)
    assert measured.core_ms > 0


@pytest.mark.heavy
def test_perf_analyzer_loads_the_server(target: Target) -> None:
    if not list((ROOT / "var" / "perf-analyzer").glob(".made-*")):
        pytest.skip("perf_analyzer is not fetched, which takes PyPI and Debian's mirror: make perf-analyzer")
    tool = PerfAnalyzer()
    _, form, *_ = tool.forms(PLAN)
    measured = tool.measure(form, target, PLAN)
    assert measured.rate > 1
    assert 0 < measured.percentiles["p50"] <= measured.percentiles["p99"]


@dataclasses.dataclass
class Broken:
    """A tool that is there and fails."""

    def version(self) -> str:
        return "broken 1"

    def forms(self, plan: Plan) -> Sequence[Form]:
        form = Form(
            scenario="loop", load=ClosedLoop(clients=1), questions=plan.questions["photo"], protocol="grpc"
        )
        return (form, dataclasses.replace(form, protocol="rest"))

    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        raise ToolError("it ended with status 3: no such option")

    def reasons(self, form: Form, plan: Plan) -> Mapping[str, str]:
        return {}


class Missing(Broken):
    def version(self) -> str:
        raise ToolError("it is not installed")


class Working(Broken):
    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        return Measured(rate=plan.rates[form.kind], percentiles={"p50": 1.0}, command="working")


def test_a_tool_that_is_missing_or_fails_is_a_sentence_of_the_report_and_the_others_go_on(
    server: GatewayServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measuring, "TOOLS", {"missing": Missing(), "broken": Broken(), "working": Working()})
    monkeypatch.setattr(measuring, "ROUNDS", 1)
    words = ["--clients", "1", "--seconds", "0.6", "--warm-up", "0.6", "--mix", "photo=2"]
    assert main(["--url", server.grpc_address, *words, "--peers", "--output", str(tmp_path)]) == 1
    run = Run.read(tmp_path / "report.json")
    missing, broken, broken_rest, working_rest = run.about[NOT_MEASURED]
    assert missing == "missing: it is not installed"
    assert broken.endswith("it ended with status 3: no such option")
    assert "add --rest-url" in broken_rest
    assert "add --rest-url" in working_rest
    (peer,) = run.peers
    assert (peer.command, peer.kind, peer.beside) == ("working", "photo", "1 client")
    _, ours = run.stages
    assert (ours.section, ours.load.name) == (PEERS, "1 client")
    assert ours.rate > 0
    assert "it is not installed" in (tmp_path / "report.md").read_text()
