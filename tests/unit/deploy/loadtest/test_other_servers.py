"""Servers of the V2 protocol that are not Triton: no index of models, no configurations, one named model."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.protocols.descriptions import summary
from deploy.loadtest.work.building import build
from deploy.loadtest.work.options import WorkOptions

METADATA = {
    "name": "resnet",
    "platform": "another",
    "inputs": [
        {"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]},
        {"name": "text", "datatype": "BYTES", "shape": [-1, 1]},
    ],
    "outputs": [{"name": "classes", "datatype": "FP32", "shape": [-1, 10]}],
}
Seen = dict[str, tuple[int, ...]]


class Plain(v2_grpc.GRPCInferenceServiceServicer):
    """What each server of the protocol has over gRPC, and nothing else."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return v2.ServerMetadataResponse(name="another", version="7")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name != METADATA["name"]:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        return v2.ModelMetadataResponse(**METADATA)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.seen |= {tensor.name: tuple(tensor.shape) for tensor in request.inputs}
        response = v2.ModelInferResponse(model_name=request.model_name, raw_output_contents=[bytes(80)])
        response.outputs.add(name="classes", datatype="FP32", shape=[2, 10])
        return response


@contextlib.contextmanager
def over_grpc(seen: Seen) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    v2_grpc.add_GRPCInferenceServiceServicer_to_server(Plain(seen), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def over_http(seen: Seen) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = {"/v2": {"name": "another", "version": "7"}, "/v2/models/resnet": METADATA}
            self._send(found.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v2/models/resnet/infer":
                self._send(None)
                return
            head = json.loads(body[: int(self.headers["Inference-Header-Content-Length"])])
            seen.update({tensor["name"]: tuple(tensor["shape"]) for tensor in head["inputs"]})
            # Without the extension for bytes: the values are in the JSON.
            classes = {"name": "classes", "datatype": "FP32", "shape": [2, 10], "data": [0.0] * 20}
            self._send({"outputs": [classes]})

        def _send(self, value: Mapping[str, Any] | None) -> None:
            body = json.dumps(value or {"error": "there is nothing here"}).encode()
            self.send_response(404 if value is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


SERVERS: Mapping[str, Callable[[Seen], contextlib.AbstractContextManager[str]]] = {
    "grpc": over_grpc,
    "http": over_http,
}


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_named_model_gets_tensors_by_its_metadata(protocol: str) -> None:
    seen: Seen = {}
    options = WorkOptions(model="resnet", shapes={"image": (3, 8, 9)}, batch=2)
    with SERVERS[protocol](seen) as address:
        target = Target(protocol=protocol, address=address)
        (question,) = build(options, door=doors[protocol], target=target).questions
        answer = doors[protocol].answer(target, question, timeout=20).tensors
    assert seen == {"image": (2, 3, 8, 9), "text": (2, 1)}
    np.testing.assert_array_equal(answer["classes"], np.zeros((2, 10), np.float32))


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_server_that_lists_no_models_is_described(protocol: str) -> None:
    with SERVERS[protocol]({}) as address:
        target = Target(protocol=protocol, address=address)
        described = doors[protocol].describe(target, timeout=20)
        assert (described["server"], described["version"], described["models"]) == ("another", "7", {})
        with pytest.raises(ValueError, match="serves no photo_analysis: it has none"):
            build(WorkOptions(), door=doors[protocol], target=target, timeout=20)
        with pytest.raises(ConnectionError, match=r"NOT_FOUND|has nothing at /v2/models/nothing"):
            build(WorkOptions(model="nothing"), door=doors[protocol], target=target, timeout=20)


def test_a_report_keeps_what_is_short_of_a_server_and_what_another_network_changes() -> None:
    parameters = {"contract": "c" * 1000, "engine_precision": "fp32"}
    description = {"server": "S", "models": {"faces": {"parameters": parameters}}}
    kept = summary(description)
    assert kept == {
        "server": "S",
        "models": ["faces"],
        "precision": {"faces: engine_precision": "fp32"},
        "configuration": kept["configuration"],
    }
    changed = {**description, "models": {"faces": {"parameters": {**parameters, "contract": "d"}}}}
    assert summary(changed)["configuration"] != kept["configuration"]
    rest = {
        "models": {"qface": {}},
        "precision": "bf16",
        "tasks": [{"name": "age", "labels": ["years"] * 200}],
        "notice": "n" * 300,
        "request_parameters": {"min_score": {"minimum": 0.1}},
    }
    assert summary(rest) == {"models": ["qface"], "precision": "bf16", "tasks": ["age"]}
