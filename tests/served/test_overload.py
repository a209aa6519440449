"""More photos at once than may wait: some are turned away at once, the others answered."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.embedded import EmbeddedServer
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking
from tests.helpers.embedded_servers import HURRIED
from tests.helpers.networks import standin_network as standin

SENT, MAY_WAIT = 40, 3


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of models before which only a few photos may wait inside Triton."""
    folder = tmp_path_factory.mktemp("overload")
    weights = standin.write(folder / "standin.onnx", standin.contract_of("expression"))
    settings = folder / "settings.toml"
    settings.write_text(
        f"[photo_analysis]\nmax_queued = {MAY_WAIT}\n[face_detect]\nmax_queued = {MAY_WAIT}\n"
    )
    return assemble(ServingPlan(weights=weights, host_settings=settings), output=folder / "var")


@pytest.fixture(scope="module")
def triton_alone(repository: Path) -> Iterator[Any]:
    with (
        EmbeddedServer(repository, grace=HURRIED) as server,
        triton.InferenceServerClient(server.grpc_address) as connected,
    ):
        yield connected


@pytest.fixture(scope="module")
def gateway(repository: Path) -> Iterator[Any]:
    with (
        GatewayServer(repository) as server,
        triton.InferenceServerClient(server.grpc_address) as connected,
    ):
        yield connected


def send_at_once(client: Any, model: str) -> tuple[list[Any], list[Any]]:
    """The answers and the errors that many large photos got which were sent together."""
    photo = large_photo()
    image = triton.InferInput("image", photo.shape, "UINT8")
    image.set_data_from_numpy(photo)
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for _ in range(SENT):
        client.async_infer(model, [image], lambda result, error: done.put((result, error)))
    ends = [done.get(timeout=60) for _ in range(SENT)]
    refused = [error for _, error in ends if error is not None]
    return [result for result, error in ends if error is None], refused


def large_photo() -> Any:
    return np.frombuffer(asking.encode(cv2.resize(asking.astronaut(), (2500, 2500)), ".jpg"), np.uint8)


def assert_refused_and_going_on(client: Any, model: str, *, status: str) -> None:
    answered, refused = send_at_once(client, model)
    assert answered
    assert refused, "every photo was answered, so nothing bounds the queue"
    for error in refused:
        assert isinstance(error, InferenceServerException)
        assert error.status() == status, error
    assert all(len(result.as_numpy("boxes")) == 1 for result in answered)
    assert len(asking.ask_about_photo(client, large_photo().tobytes(), model=model)["boxes"]) == 1


@pytest.mark.parametrize("model", ["photo_analysis", "face_detect"])
def test_photos_beyond_what_is_answered_in_time_get_resource_exhausted_and_the_gateway_goes_on(
    gateway: Any, model: str
) -> None:
    assert_refused_and_going_on(gateway, model, status="StatusCode.RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("model", ["photo_analysis", "face_detect"])
def test_photos_beyond_triton_s_own_queue_are_unavailable_and_the_server_goes_on(
    triton_alone: Any, model: str
) -> None:
    assert_refused_and_going_on(triton_alone, model, status="StatusCode.UNAVAILABLE")
