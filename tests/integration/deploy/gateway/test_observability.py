"""What a running gateway shows of itself: metrics, health pages, access log. With tiny models."""

import concurrent.futures
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.gateway.operation.service import GatewayServer
from tests.helpers import slow_repository
from tests.helpers.bystanders import ask, eventually
from tests.helpers.prometheus_page import Page
from tests.helpers.slow_repository import crop

TRITONS = "nv_inference_request_success_total"  # the parser appends _total to every counter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    slow_repository.write(tmp_path / "repository", instances=2)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[GatewayServer]:
    arguments = ["--access-log", str(folder / "access.jsonl")]
    with GatewayServer(folder / "repository", arguments=arguments) as running:
        yield running


def page_of(server: GatewayServer, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://{server.http_address}{path}", timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "access.jsonl").read_text().splitlines()]


def test_requests_are_counted_and_logged_by_what_became_of_them(server: GatewayServer, folder: Path) -> None:
    for number in range(3):
        ask(server.grpc_address, crop(number))
    unknown = crop(1)
    unknown.model_name = 'forged",model="x'
    wrong = crop(1)
    wrong.inputs[0].datatype = "FP32"
    for request in (unknown, wrong):
        with pytest.raises(grpc.RpcError):
            ask(server.grpc_address, request)

    assert eventually(lambda: Page.of(server).value("qface_gateway_refused_total") == 2)
    shown = Page.of(server)
    assert shown.value("qface_gateway_requests_total", model="echo", outcome="answered", code="OK") == 3
    assert shown.value("qface_gateway_request_seconds_count", model="echo", outcome="answered") == 3
    assert shown.value("qface_gateway_refused_total", model="", reason="unknown_model") == 1
    assert shown.value("qface_gateway_refused_total", model="echo") == 1
    assert shown.value("qface_gateway_ready") == 1
    assert shown.value(TRITONS, model="echo") >= 3
    labels = {value for _, having, _ in shown.samples for value in having.values()}
    assert not [value for value in labels if "forged" in value]
    assert eventually(lambda: len(lines_of(folder)) == 5)
    lines = lines_of(folder)
    assert [line["outcome"] for line in lines] == ["answered"] * 3 + ["refused"] * 2
    assert [line["model"] for line in lines] == ["echo"] * 3 + ["", "echo"]
    assert {line["peer"] for line in lines} == {"127.0.0.1"}
    assert "forged" not in (folder / "access.jsonl").read_text()


def test_counters_go_on_and_health_is_true_over_a_repair(server: GatewayServer) -> None:
    for number in range(5):
        ask(server.grpc_address, crop(number))
    assert eventually(lambda: Page.of(server).value(TRITONS, model="echo") >= 5)
    before = Page.of(server)
    os.kill(server.triton_pid, signal.SIGKILL)
    assert eventually(lambda: page_of(server, "/v2/health/ready")[0] == 503)
    assert page_of(server, "/v2/health/live")[0] == 200
    assert eventually(lambda: page_of(server, "/v2/models/echo/ready")[0] == 200)
    ask(server.grpc_address, crop(1))
    assert eventually(lambda: Page.of(server).value("qface_gateway_repairs_total", result="repaired") == 1)
    after = Page.of(server)
    assert after.value(TRITONS, model="echo") >= before.value(TRITONS, model="echo")
    assert after.value("qface_gateway_backend_generation") > before.value("qface_gateway_backend_generation")
    assert after.value("qface_gateway_restarts_total") == 0


def test_the_log_is_written_anew_where_it_was_moved_away(server: GatewayServer, folder: Path) -> None:
    ask(server.grpc_address, crop(1))
    assert eventually(lambda: len(lines_of(folder)) == 1)
    (folder / "access.jsonl").rename(folder / "access.jsonl.1")
    ask(server.grpc_address, crop(2))
    assert eventually(lambda: (folder / "access.jsonl").exists() and len(lines_of(folder)) == 1)


def test_pages_answer_while_somebody_reads_them_all_the_time(server: GatewayServer) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as readers:
        reading = [readers.submit(lambda: [Page.of(server) for _ in range(20)]) for _ in range(8)]
        for number in range(20):
            ask(server.grpc_address, crop(number))
        for each in reading:
            each.result()
    assert page_of(server, "/v2/health/ready")[0] == 200


# Imported by each Python that starts: REST's process waits until it may go on.
_LATE = """
import pathlib, sys, time
if any("front_process" in word for word in sys.orig_argv):
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.05)
"""


def test_it_is_not_ready_before_rest_can_be_asked(folder: Path) -> None:
    gate, ready_file = folder / "gate", folder / "ready"
    (folder / "late").mkdir()
    (folder / "late" / "sitecustomize.py").write_text(_LATE.format(gate=str(gate)))
    late = GatewayServer(
        folder / "repository",
        rest_port=0,
        arguments=["--ready-file", str(ready_file)],
        environment={"PYTHONPATH": str(folder / "late")},
    )
    late.start(wait=False)
    try:
        page = "/v2/health/ready"
        assert eventually(lambda: "not open yet" in str(page_of(late, page)[1]))
        assert page_of(late, page)[0] == 503
        assert not ready_file.exists()
        ask(late.grpc_address, crop(1))  # whose port is open

        gate.touch()
        assert eventually(lambda: page_of(late, page)[0] == 200)
        assert ready_file.exists()
        with urllib.request.urlopen(f"http://{late.rest_address}/v1/health/live", timeout=30) as answer:
            assert answer.status == 200
    finally:
        late.stop()
