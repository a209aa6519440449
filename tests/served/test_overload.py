"""More photos at once than may wait: some are turned away at once, the others answered."""

import queue
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

import build.serving.photo_models
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.embedded import EmbeddedServer
from tests.helpers import requests as asking
from tests.helpers.networks import standin_network as standin

SENT, MAY_WAIT = 40, 3


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Of a server on which only a few photos may wait."""
    folder = tmp_path_factory.mktemp("overload")
    weights = standin.write(folder / "standin.onnx", standin.contract_of("expression"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build.serving.photo_models, "MAX_QUEUED_PHOTOS", MAY_WAIT)
        assembled = assemble(ServingPlan(weights=weights), output=folder / "var")
    with (
        EmbeddedServer(assembled) as server,
        triton.InferenceServerClient(server.grpc_address) as connected,
    ):
        yield connected


@pytest.mark.parametrize("model", ["photo_analysis", "face_detect"])
def test_photos_beyond_the_queue_are_unavailable_and_the_server_goes_on(client: Any, model: str) -> None:
    photo = np.frombuffer(asking.encode(cv2.resize(asking.astronaut(), (2500, 2500)), ".jpg"), np.uint8)
    image = triton.InferInput("image", photo.shape, "UINT8")
    image.set_data_from_numpy(photo)
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for _ in range(SENT):
        client.async_infer(model, [image], lambda result, error: done.put((result, error)))
    ends = [done.get(timeout=60) for _ in range(SENT)]
    refused = [error for _, error in ends if error is not None]
    answered = [result for result, error in ends if error is None]
    assert len(answered) >= MAY_WAIT
    assert refused, "every photo was answered, so nothing bounds the queue"
    for error in refused:
        assert isinstance(error, InferenceServerException)
        assert error.status() == "StatusCode.UNAVAILABLE", error
    assert all(len(result.as_numpy("boxes")) == 1 for result in answered)
    assert len(asking.ask_about_photo(client, photo.tobytes(), model=model)["boxes"]) == 1
