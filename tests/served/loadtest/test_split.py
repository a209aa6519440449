"""Where the time of requests to the served models went."""

import time
from collections.abc import Callable

import pytest

from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import Server
from deploy.loadtest.server import server_side
from deploy.loadtest.server.split import COPIES, GATEWAY, NETWORK, QUEUE, WAITING
from deploy.loadtest.work.question import Question
from deploy.measuring.pictures.portrait import PORTRAIT
from qface_client import FaceClient
from qface_client.measuring.histogram import Histogram

AROUND = {WAITING, QUEUE, COPIES, GATEWAY, NETWORK}
REQUESTS = 6


@pytest.fixture(scope="module")
def measured(server: GatewayServer) -> tuple[Server, dict[str, Histogram]]:
    """The server's side of some photos, and then of some faces in place of them."""
    photo = PORTRAIT.read_bytes()
    target = Target(protocol="grpc", address=server.grpc_address)
    models = {"photo": "photo_analysis", "face": "face_analysis"}
    with (
        FaceClient(server.grpc_address) as client,
        server_side(
            target,
            [Question(kind=kind, model=model, inputs={}) for kind, model in models.items()],
            supervisor_pid=server.supervisor_pid,
            metrics_url=f"http://{server.http_address}/metrics",
        ) as side,
    ):
        (face,) = client.analyze(photo)
        asks: dict[str, Callable[[], object]] = {
            "photo": lambda: client.analyze(photo),
            "face": lambda: client.analyze_face(photo, box=face.box, landmarks=face.landmarks5),
        }
        side.begin()
        latency = {
            kind: Histogram.of([seconds_of(ask) for _ in range(REQUESTS)]) for kind, ask in asks.items()
        }
        return side.end(latency=latency, client_core_seconds=0.1), latency


def seconds_of(ask: Callable[[], object]) -> float:
    began = time.monotonic()
    ask()
    return time.monotonic() - began


def test_a_photos_time_is_the_engines_and_what_photo_analysis_does_itself(
    measured: tuple[Server, dict[str, Histogram]],
) -> None:
    server, latency = measured
    parts = server.parts["photo"]
    assert sum(parts.values()) == pytest.approx(1e3 * latency["photo"].mean)
    assert set(parts) >= AROUND | {"decode, find, crop", "engine"}
    assert parts["decode, find, crop"] > 0
    assert parts["engine"] > 0


def test_a_faces_time_is_that_of_the_steps_of_its_ensemble(
    measured: tuple[Server, dict[str, Histogram]],
) -> None:
    server, latency = measured
    parts = server.parts["face"]
    assert sum(parts.values()) == pytest.approx(1e3 * latency["face"].mean)
    assert set(parts) >= AROUND | {"decode and crop", "engine", "postprocess"}
    assert all(parts[step] > 0 for step in ("decode and crop", "engine", "postprocess"))


def test_steps_and_processes_are_those_of_the_requests(measured: tuple[Server, dict[str, Histogram]]) -> None:
    server, _ = measured
    steps = {step.model: step.requests for step in server.steps}
    assert steps["photo_analysis"] == steps["face_analysis"] == steps["face_preprocess"] == REQUESTS
    assert steps["face_engine"] == 2 * REQUESTS
    assert {"client", "face_engine", "photo_analysis"} <= set(server.core_ms)
    assert server.memory["face_engine"] > server.memory["face_preprocess"]
    assert "face_engine is shared by photo, face: its mean request stands for each" in server.notes
