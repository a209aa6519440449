"""A real gRPC server that speaks the V2 protocol with canned answers.

It exists for what the real server can't be made to do on time: to change its contract between two calls,
to turn away the first requests, to answer late or wrongly. All else is tested against the real server.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from runtime.kinds.mask import as_png

DATATYPES = {"float32": "FP32", "uint8": "UINT8", "int32": "INT32", "bool": "BOOL", "object": "BYTES"}


def contract_of(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A contract with a hash of its own."""
    contract: dict[str, Any] = {"version": 1, "input_size": 128, "tasks": list(tasks)}
    contract["hash"] = hashlib.sha256(json.dumps(contract).encode()).hexdigest()[:16]
    return contract


def second_generation() -> dict[str, Any]:
    """A contract whose numbers, angles and points have expected errors, and whose faces a quality."""

    def task(name: str, kind: str, labels: Sequence[str], unit: str) -> dict[str, Any]:
        error = {"unit": unit, "within": [[0.5, 0.7], [0.8, 1.6], [0.95, 3.0]]}
        return {"name": name, "kind": kind, "labels": list(labels), "unit": unit, "error": error}

    rated = {"name": "rated", "kind": "multilabel", "labels": ["usable"], "unit": "probability"}
    contract = contract_of(
        classes("mood", ["glad", "sad"]),
        task("years", "value", ["years"], "years"),
        task("turn", "rotation", ["yaw", "pitch", "roll"], "degrees"),
        task("spots", "points", ["tip", "chin"], "pixels"),
        rated,
    )
    contract["quality"] = {"task": "rated", "label": "usable", "minimum": 0.3}
    return contract | {"hash": "2" * 16}


def first_generation() -> dict[str, Any]:
    """The same tasks of a server from before errors and quality were stated."""
    tasks = [
        {key: value for key, value in task.items() if key != "error"} for task in second_generation()["tasks"]
    ]
    return contract_of(*tasks)


def classes(name: str, labels: Sequence[str]) -> dict[str, Any]:
    """A contract's entry for a task with one label of several."""
    return {"name": name, "kind": "classes", "labels": list(labels), "unit": "probability"}


SERVED = ("photo_analysis", "face_analysis", "crop_analysis", "face_detect", "face_engine")


class FakeServer(v2_grpc.GRPCInferenceServiceServicer):
    """Answers every photo with `faces` faces by `contract`, whose first label always wins.

    `contract` and `config` (what ModelConfig says; the same unless set) may be changed at any time.
    `before_infer` is called with (call number, context) first, and may abort, wait or change things;
    `before_read` is the same for ModelConfig. `metadata` is what came with each call.
    """

    def __init__(self, contract: dict[str, Any], *, faces: int = 1) -> None:
        self.contract = contract
        self.config: dict[str, Any] | None = None
        self.networks: dict[str, str] | None = None  # what photo_analysis says of further networks
        self.further: dict[
            str, dict[str, Any]
        ] = {}  # by what their models' names begin with, their contracts
        self.notice: str | None = None  # None: as a server that knows of none
        self.precision = ""  # "": as a server from before it was stated
        self.faces = faces
        self.faces_found: int | None = None  # None: those that are answered
        self.faces_below_quality = 0  # of a contract with `quality`
        # What photo_analysis and face_detect have; () and "": a server from before searches had parameters.
        self.search_outputs: tuple[str, ...] = ("faces_found", "smallest_face")
        self.request_parameters = json.dumps({"min_score": {}, "max_faces": {}, "min_face": {}})
        self.parameters: dict[str, Any] = {}  # of the last request
        self.before_infer: Callable[[int, grpc.ServicerContext], None] = lambda number, context: None
        self.before_read: Callable[[int, grpc.ServicerContext], None] = lambda number, context: None
        self.metadata: list[dict[str, Any]] = []
        self.change_answer: Callable[[dict[str, Any]], None] = lambda tensors: None
        self.reads = 0
        self.infers = 0
        self.asked: list[str] = []
        self.inputs: dict[str, np.ndarray[Any, Any]] = {}
        self._lock = threading.Lock()

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._lock:
            self.reads += 1
            number = self.reads
            self.metadata.append(dict(context.invocation_metadata()))
        self.before_read(number, context)
        response = v2.ModelConfigResponse()
        response.config.name = request.name
        response.config.max_batch_size = 0 if request.name.endswith("photo_analysis") else 2
        contract = self._contract_of(request.name, context)
        contract = contract if self.config is None else self.config
        if request.name.endswith(("photo_analysis", "face_detect")):
            for name in self.search_outputs:
                response.config.output.add(name=name)
            parameters = self.request_parameters
            if "quality" in contract and request.name.endswith("photo_analysis"):
                response.config.output.add(name="faces_below_quality")
                parameters = json.dumps({**json.loads(parameters or "{}"), "min_quality": {}})
            if parameters:
                response.config.parameters["request_parameters"].string_value = parameters
        if self.networks is not None:
            response.config.parameters["models"].string_value = json.dumps(self.networks)
        response.config.parameters["contract"].string_value = json.dumps(contract)
        if self.precision and request.name.endswith("face_engine"):
            response.config.parameters["precision"].string_value = self.precision
        if self.notice is not None:
            response.config.parameters["notice"].string_value = self.notice
        return response

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._lock:
            self.infers += 1
            number = self.infers
            self.metadata.append(dict(context.invocation_metadata()))
        self.asked = [output.name for output in request.outputs]
        self.parameters = {
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in request.parameters.items()
        }
        self.inputs = {
            tensor.name: np.frombuffer(raw, {"UINT8": np.uint8, "FP32": np.float32}[tensor.datatype]).reshape(
                list(tensor.shape)
            )
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        self.before_infer(number, context)
        count = (
            self.faces
            if request.model_name.endswith(("photo_analysis", "face_detect"))
            else len(self.inputs[request.inputs[0].name])
        )
        tensors = self._tensors(count, self._contract_of(request.model_name, context))
        self.change_answer(tensors)
        unknown = [name for name in self.asked if name not in tensors]
        if unknown:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"unexpected inference output '{unknown[0]}' for model '{request.model_name}'",
            )
        response = v2.ModelInferResponse(model_name=request.model_name)
        for name in self.asked:
            value = tensors[name]
            if value is None:
                continue
            response.outputs.add(name=name, datatype=DATATYPES[str(value.dtype)], shape=value.shape)
            response.raw_output_contents.append(_raw(value))
        return response

    def _contract_of(self, model: str, context: grpc.ServicerContext) -> dict[str, Any]:
        plain = (*SERVED, *(task["name"] for task in self.contract["tasks"]))
        for prefix, contract in self.further.items():
            if model.startswith(prefix):
                return contract
        if self.networks is not None and model not in plain:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{model}' is not found")
        return self.contract

    def _tensors(self, count: int, contract: dict[str, Any]) -> dict[str, Any]:
        searched = {
            "faces_found": np.array([self.faces_found or count], np.int32),
            "smallest_face": np.array([21.875], np.float32),
        }
        tensors: dict[str, Any] = {
            "boxes": np.tile(np.array([10, 20, 50, 60], np.float32), (count, 1)),
            "scores": np.full(count, 0.9, np.float32),
            "landmarks": np.zeros((count, 5, 2), np.float32),
            "photo_size": np.array([100, 80], np.int32),
            **{name: searched[name] for name in self.search_outputs},
            "contract": np.array([contract["hash"].encode()], object),
        }
        if "quality" in contract:
            tensors["faces_below_quality"] = np.array([self.faces_below_quality], np.int32)
        for task in contract["tasks"]:
            size, name = len(task["labels"]), task["name"]
            first = np.zeros((count, size), np.float32)
            first[:, 0] = 1.0
            tensors[f"{name}_probabilities"] = first
            tensors[f"{name}_label"] = np.full((count, 1), task["labels"][0].encode(), object)
            tensors[f"{name}_active"] = first > 0.5
            tensors[f"{name}_value"] = np.full((count, 1), 31.25, np.float32)
            tensors[f"{name}_angles"] = np.tile(np.arange(size, dtype=np.float32), (count, 1))
            tensors[f"{name}_points"] = np.zeros((count, size, 2), np.float32)
            if "error" in task:
                tensors[f"{name}_error"] = np.tile(np.arange(1, size + 1, dtype=np.float32), (count, 1))
            png = as_png(np.zeros((4, 6), np.uint8))
            tensors[f"{name}_png"] = np.array([[png]] * count, object).reshape(count, 1)
            tensors[f"{name}_map"] = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1))
        return tensors


def serve(
    fake: FakeServer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    credentials: grpc.ServerCredentials | None = None,
    health: HealthServicer | None = None,
) -> Iterator[str]:
    """Run a fake server, on a free port unless one is given; gives its address.

    `health`: what it says by the health protocol, which it does not speak without.
    """
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)]
    )
    v2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    if health is not None:
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"{host}:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop(grace=None).wait()


running = contextlib.contextmanager(serve)


def closed_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def refuse(
    calls: int, code: grpc.StatusCode, words: str, *, pushback: str | None = None
) -> Callable[[int, grpc.ServicerContext], None]:
    """For `before_infer` and `before_read`: turn the first calls away.

    `pushback`: milliseconds as the gateway sends them (grpc-retry-pushback-ms); None: nothing is sent.
    """

    def abort(number: int, context: grpc.ServicerContext) -> None:
        if number <= calls:
            if pushback is not None:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
            context.abort(code, words)

    return abort


def late(seconds: float) -> Callable[[int, grpc.ServicerContext], None]:
    """For `before_infer`: wait, or until the caller has gone."""

    def wait(number: int, context: grpc.ServicerContext) -> None:
        end = time.monotonic() + seconds
        while context.is_active() and time.monotonic() < end:
            time.sleep(0.01)

    return wait


def _raw(value: Any) -> bytes:
    if value.dtype == object:
        return b"".join(len(item).to_bytes(4, "little") + item for item in value.ravel())
    raw: bytes = value.tobytes()
    return raw
