"""Every series that rules and dashboard name exists, on a real Prometheus before a real gateway."""

import re
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import yaml
from tritonclient.grpc import service_pb2, service_pb2_grpc

from deploy.gateway.operation.service import GatewayServer
from deploy.monitoring.panels import queries
from qface_client import FaceClient
from tests.helpers.full_metrics import full_page
from tests.helpers.live_prometheus import LivePrometheus, page_served, series_named
from tests.helpers.paths import ASTRONAUT, ROOT

RULES = sorted((ROOT / "deploy" / "monitoring" / "rules").glob("*.yaml"))
GPU_PAGE = (ROOT / "tests" / "deploy" / "gpu_metrics.txt").read_text()
# What a gateway has only after something happened, or with options that this one lacks: from a page on which
# all has happened, which its own code makes.
EVENTFUL = {
    "qface_gateway_abandoned_total",
    "qface_gateway_access_log_lost_total",
    "qface_gateway_certificate_expiry_seconds",
    "qface_gateway_client_requests_total",
    "qface_gateway_events_total",
    "qface_gateway_faces_below_quality_total",
    "qface_gateway_spans_total",
}
# Empty while all is well.
MAY_BE_EMPTY = {'ALERTS{alertname=~"QFace.*"}'}
LIVE = '{job="q-face"}'


@pytest.fixture(scope="module")
def prometheus(server: GatewayServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePrometheus]:
    """It has looked at the gateway before and after some requests, and has evaluated all rules."""
    with page_served(GPU_PAGE) as gpu, page_served(full_page()) as eventful:
        targets = {"q-face": [server.http_address], "gpu": [gpu], "eventful": [eventful]}
        folder = tmp_path_factory.mktemp("prometheus")
        with LivePrometheus(folder, targets=targets, rules=RULES) as running:
            running.wait_until(lambda: running.value("sum(up)") == 3, what="all targets are scraped")
            ask(server.grpc_address)
            running.wait_until(
                lambda: running.query(f"qface:answer_shift:6h{LIVE}"), what="rules are evaluated"
            )
            yield running


def ask(address: str) -> None:
    """Photos, crops enough for a block of answers, and a request that is refused."""
    with FaceClient(address, timeout=60) as client:
        for _ in range(2):
            assert len(client.analyze(ASTRONAUT)) == 1
        size = client.contract().input_size
        client.analyze_crops(np.random.default_rng(5).integers(0, 256, (32, size, size, 3), np.uint8))
        client.analyze_crops(np.random.default_rng(6).integers(0, 256, (32, size, size, 3), np.uint8))
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
            service_pb2.ModelInferRequest(model_name="no_such_model"), timeout=10
        )


def expressions() -> list[str]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def with_values(query: str) -> str:
    """A query of the dashboard as Grafana sends it, with everything chosen."""
    return re.sub(r"\$(?!__)\w+", ".*", query).replace("$__rate_interval", "1m")


def test_every_series_that_is_named_exists(prometheus: LivePrometheus) -> None:
    named = set().union(*(series_named(expr) for expr in (*expressions(), *queries()))) - {"ALERTS"}
    assert len(named) > 50
    assert named - prometheus.names() == set()
    own = {name for name in named if name.startswith(("qface_", "nv_inference_", "process_"))}
    live = {sample["metric"]["__name__"] for sample in prometheus.query('{job="q-face", __name__=~".+"}')}
    assert own - live <= EVENTFUL  # other tests of the same gateway may have caused some


def test_every_rule_is_evaluated_without_an_error(prometheus: LivePrometheus) -> None:
    rules = prometheus.rules()
    assert len(rules) == len(expressions())
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"} == {}


def test_every_query_of_the_dashboard_has_an_answer(prometheus: LivePrometheus) -> None:
    empty = {query for query in queries() if not prometheus.query(with_values(query))}
    assert empty <= MAY_BE_EMPTY


def test_every_bound_and_every_share_of_the_rules_has_a_value(prometheus: LivePrometheus) -> None:
    recorded = {rule["name"] for rule in prometheus.rules() if rule["type"] == "recording"}
    assert {name for name in recorded if not prometheus.query(name)} == set()


def test_an_alert_fires_for_a_fault_that_is_there(prometheus: LivePrometheus) -> None:
    """The page on which all has happened says that a certificate expired in 2001."""
    states = {
        (sample["metric"]["alertname"], sample["metric"]["alertstate"])
        for sample in prometheus.query('ALERTS{job="eventful"}')
    }
    assert ("QFaceCertificateExpires", "pending") in states


def test_no_alert_fires_about_a_gateway_that_is_well(prometheus: LivePrometheus) -> None:
    assert prometheus.query('ALERTS{job="q-face", alertstate="firing"}') == []
