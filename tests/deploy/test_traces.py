"""Traces of the real server: one a request, from the front through Triton's steps, with nothing private."""

import dataclasses
import json
import secrets
import stat
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tritonclient.grpc import service_pb2 as v2

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient
from runtime.spans import SOCKET
from tests.helpers.client_spans import Spans
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import standin_network as standin
from tests.helpers.paths import ASTRONAUT
from tests.helpers.prometheus_page import Page
from tests.helpers.repositories import FEW_PROCESSES
from tests.helpers.span_collector import SpanCollector, attributes_of
from training.tasks import CATALOGUE

PHOTO = ASTRONAUT.read_bytes()
PARENT = "b7ad6b7169203331"
METHOD = "inference.GRPCInferenceService/ModelInfer"
# Each span and the one around it.
OF_A_PHOTO = {
    "receive": None,
    "queue": None,
    "triton": None,
    "photo_analysis": "triton",
    "decode": "photo_analysis",
    "detect": "photo_analysis",
    "crop": "photo_analysis",
    "engine": "photo_analysis",
    "face_engine": "engine",
    "postprocess": "photo_analysis",
}
OF_A_CROP = {
    "receive": None,
    "queue": None,
    "triton": None,
    "crop_preprocess": "triton",
    "face_engine": "triton",
    "face_postprocess": "triton",
}


@dataclasses.dataclass(frozen=True)
class Traced:
    """A gateway that traces, two fronts and the REST door, and where its spans go."""

    gateway: GatewayServer
    collector: SpanCollector
    access_log: Path

    def counted(self, result: str) -> float:
        """Spans, by what became of them."""
        return Page.of(self.gateway).value("qface_gateway_spans_total", result=result)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    task = next(name for name, task in CATALOGUE.items() if task.kind == "classes" and not task.sensitive)
    weights = standin.write(folder / "standin.onnx", standin.contract_of(task))
    repository = assemble(ServingPlan(weights=weights, host_settings=FEW_PROCESSES), output=folder / "var")
    collector, log = SpanCollector(), folder / "access.jsonl"
    words = ("--otlp-endpoint", collector.endpoint, "--trace-ratio", "0", "--processes", "2")
    with (
        (folder / "server.log").open("w") as sink,
        collector.listening(),
        GatewayServer(
            repository,
            rest_port=0,
            log=sink,
            arguments=(*PATIENT, *words, "--access-log", str(log)),
        ) as gateway,
    ):
        yield Traced(gateway, collector, log)


def infer(traced: Traced, request: "v2.ModelInferRequest", trace: str, *, flags: str = "01") -> bytes:
    """The answer to a request with a `traceparent`, over a connection of its own."""
    metadata = (("traceparent", f"00-{trace}-{PARENT}-{flags}"),)
    alone = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(traced.gateway.grpc_address, options=alone) as channel:
        call = channel.unary_unary(f"/{METHOD}")
        answer: bytes = call(request.SerializeToString(), metadata=metadata, timeout=120)
        return answer


def photo(content: bytes = PHOTO) -> "v2.ModelInferRequest":
    request = v2.ModelInferRequest(model_name="photo_analysis", id="secret-id")
    request.inputs.add(name="image", datatype="UINT8", shape=[len(content)])
    request.raw_input_contents.append(content)
    return request


def crop() -> "v2.ModelInferRequest":
    request = v2.ModelInferRequest(model_name="crop_analysis")
    request.inputs.add(name="crop", datatype="UINT8", shape=[1, 112, 112, 3])
    request.raw_input_contents.append(np.zeros((112, 112, 3), np.uint8).tobytes())
    return request


def check(spans: dict[str, Span], parents: dict[str, str | None], *, root: str) -> None:
    """All of these spans are there, each within its parent; `root` is the child of the client's."""
    assert spans.keys() == {root, *parents}
    assert spans[root].parent_span_id.hex() == PARENT
    assert spans[root].kind == Span.SPAN_KIND_SERVER
    assert spans["triton"].kind == Span.SPAN_KIND_CLIENT
    for name, around in parents.items():
        span, parent = spans[name], spans[around or root]
        assert span.parent_span_id == parent.span_id, name
        begin, end = span.start_time_unix_nano, span.end_time_unix_nano
        assert parent.start_time_unix_nano <= begin < end <= parent.end_time_unix_nano, name
        assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_photo_over_grpc_is_one_trace_of_all_that_was_done(traced: Traced) -> None:
    trace = secrets.token_hex(16)
    infer(traced, photo(), trace)
    spans = traced.collector.of_trace(trace, METHOD, *OF_A_PHOTO)
    check(spans, OF_A_PHOTO, root=METHOD)
    assert attributes_of(spans[METHOD]) == {
        "rpc.system": "grpc",
        "rpc.method": METHOD,
        "rpc.grpc.status_code": 0,
        "qface.outcome": "answered",
        "qface.model": "photo_analysis",
        "qface.bytes": len(photo().SerializeToString()),
        "qface.megapixels": 0.512**2,
        "qface.faces": 1,
    }
    assert attributes_of(spans["face_engine"])["qface.batched_requests"] == 1


def test_a_photo_over_rest_is_one_trace_of_all_that_was_done(traced: Traced) -> None:
    trace = secrets.token_hex(16)
    headers = {"Traceparent": f"00-{trace}-{PARENT}-01", "Content-Type": "image/jpeg"}
    url = f"http://{traced.gateway.rest_address}/v1/analyze"
    with urllib.request.urlopen(urllib.request.Request(url, data=PHOTO, headers=headers)) as answer:
        assert json.load(answer)["faces"]
    root = "POST /v1/analyze"
    spans = traced.collector.of_trace(trace, root, *OF_A_PHOTO, "json")
    check(spans, {**OF_A_PHOTO, "json": None}, root=root)
    about = attributes_of(spans[root])
    assert (about["http.route"], about["http.response.status_code"]) == ("/v1/analyze", 200)


def test_a_client_that_traces_and_the_server_make_one_trace(traced: Traced) -> None:
    spans = Spans()
    with FaceClient(traced.gateway.grpc_address, tracing=spans.provider) as client:
        assert len(client.analyze(PHOTO)) == 1
    sent = spans.one(METHOD).get_span_context()
    assert sent is not None
    of_server = traced.collector.of_trace(f"{sent.trace_id:032x}", METHOD, *OF_A_PHOTO)
    assert of_server.keys() == {METHOD, *OF_A_PHOTO}
    assert of_server[METHOD].parent_span_id.hex() == f"{sent.span_id:016x}"
    stated = spans.one(METHOD).attributes or {}
    assert stated.keys() >= {f"qface.server.{name}_ms" for name in ("total", "queue", "triton")}


def test_crops_are_traced_by_each_front_through_each_step_of_the_ensemble(traced: Traced) -> None:
    traces = [
        secrets.token_hex(16) for _ in range(6)
    ]  # connections, which the kernel spreads over the fronts
    for trace in traces:
        infer(traced, crop(), trace)
    for trace in traces:
        check(traced.collector.of_trace(trace, METHOD, *OF_A_CROP), OF_A_CROP, root=METHOD)


def test_a_refused_request_is_traced_as_far_as_it_came(traced: Traced) -> None:
    trace = secrets.token_hex(16)
    with pytest.raises(grpc.RpcError):
        infer(traced, photo(b"no picture"), trace)
    spans = traced.collector.of_trace(trace, METHOD)
    assert spans.keys() == {METHOD, "receive"}
    assert attributes_of(spans[METHOD])["qface.reason"] == "picture"
    assert spans[METHOD].status.code == Status.STATUS_CODE_UNSET  # the client's fault


def test_an_unsampled_parent_gets_no_trace_and_the_ratio_decides_without_one(traced: Traced) -> None:
    unsampled, sampled = secrets.token_hex(16), secrets.token_hex(16)
    before = {span.trace_id for span in traced.collector.spans}
    infer(traced, crop(), unsampled, flags="00")
    infer(traced, crop(), "0" * 32)  # which is no trace's id, and the ratio is 0
    infer(traced, crop(), sampled)
    traced.collector.of_trace(sampled, METHOD, *OF_A_CROP)
    assert {span.trace_id.hex() for span in traced.collector.spans if span.trace_id not in before} == {
        sampled
    }


def test_no_picture_answer_id_or_address_is_sent(traced: Traced) -> None:
    trace = secrets.token_hex(16)
    answer = v2.ModelInferResponse.FromString(infer(traced, photo(), trace))
    traced.collector.of_trace(trace, METHOD, *OF_A_PHOTO)
    sent = b"".join(traced.collector.bodies)
    assert bytes.fromhex(trace) in sent
    for private in (b"secret-id", b"127.0.0.1", PHOTO[1000:1016], *answer.raw_output_contents):
        assert len(private) < 8 or private not in sent


def test_nobody_but_this_user_reaches_the_socket_of_spans(traced: Traced) -> None:
    variables = Path(f"/proc/{traced.gateway.triton_pid}/environ").read_text().split("\0")
    (path,) = [each.partition("=")[2] for each in variables if each.startswith(f"{SOCKET}=")]
    assert stat.S_ISSOCK(Path(path).stat().st_mode)
    assert not Path(path).stat().st_mode & 0o077


def test_lines_of_the_access_log_name_the_trace(traced: Traced) -> None:
    trace, traced_request, untraced_request = secrets.token_hex(16), crop(), crop()
    traced_request.id, untraced_request.id = "with a trace", "without one"
    infer(traced, traced_request, trace)
    infer(traced, untraced_request, secrets.token_hex(16), flags="00")
    # Each front writes its own lines, a moment later: in no order.
    found: dict[str, str] = {}
    end = time.monotonic() + 30
    while not {traced_request.id, untraced_request.id} <= found.keys():
        assert time.monotonic() < end
        time.sleep(0.05)
        whole, _, _ = traced.access_log.read_text().rpartition("\n")
        found = {line["id"]: line["trace"] for line in map(json.loads, whole.splitlines())}
    assert found[traced_request.id] == trace
    assert found[untraced_request.id] == ""


def test_while_the_collector_takes_nothing_requests_are_answered_and_spans_dropped_and_counted(
    traced: Traced,
) -> None:
    trace = secrets.token_hex(16)
    infer(traced, crop(), trace)
    traced.collector.of_trace(trace, METHOD, *OF_A_CROP)
    end = time.monotonic() + 30
    while traced.counted("exported") < len(traced.collector.spans):
        assert time.monotonic() < end
    assert traced.counted("dropped") == 0
    traced.collector.status = 503
    try:
        assert infer(traced, crop(), secrets.token_hex(16))
        while traced.counted("dropped") < len(OF_A_CROP) + 1:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        traced.collector.status = 200
    trace = secrets.token_hex(16)
    infer(traced, crop(), trace)
    traced.collector.of_trace(trace, METHOD, *OF_A_CROP)
