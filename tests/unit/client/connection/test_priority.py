"""`priority=`: Triton's request parameter of each call that sends a picture."""

import asyncio
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2

from qface_client import AsyncFaceClient, FaceClient, InvalidInput
from qface_client._connection import request
from qface_client._exchange.steps import Infer
from tests.helpers.fake_v2_server import FakeServer

PHOTO = np.zeros((80, 100, 3), np.uint8)


@pytest.mark.parametrize("method", ["analyze", "detect", "analyze_face", "analyze_crop"])
def test_every_call_with_a_picture_carries_it(fake: FakeServer, url: str, method: str) -> None:
    with FaceClient(url) as client:
        getattr(client, method)(PHOTO, priority=1)
        assert fake.parameters == {"priority": 1}
        getattr(client, method)(PHOTO)
        assert fake.parameters == {}
        client.analyze_crops([PHOTO, PHOTO], priority=np.uint8(1))
        assert fake.parameters == {"priority": 1}


def test_the_twin_carries_it_beside_other_parameters(fake: FakeServer, url: str) -> None:
    async def ask() -> None:
        async with AsyncFaceClient(url) as client:
            await client.analyze(PHOTO, priority=0, min_score=0.25)

    asyncio.run(ask())
    assert fake.parameters == {"priority": 0, "min_score": 0.25}


@pytest.mark.parametrize("priority", [0, 1, (1 << 64) - 1])
def test_it_travels_as_triton_takes_it(priority: int) -> None:
    step = Infer(model="m", inputs={}, outputs=(), timeout=1.0, priority=priority)
    sent = v2.ModelInferRequest.FromString(request(step))
    assert sent.parameters["priority"].WhichOneof("parameter_choice") == "uint64_param"
    assert sent.parameters["priority"].uint64_param == priority


@pytest.mark.parametrize("priority", [-1, 1 << 64, 1.0, "1", True, float("nan"), [1]])
def test_what_is_no_priority_is_refused_before_it_is_sent(fake: FakeServer, url: str, priority: Any) -> None:
    with FaceClient(url) as client:
        for method in (client.analyze, client.detect, client.analyze_face, client.analyze_crop):
            with pytest.raises(InvalidInput, match="priority is"):
                method(PHOTO, priority=priority)
    assert fake.infers == 0
