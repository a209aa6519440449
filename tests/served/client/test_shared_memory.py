"""A large photo that is left in memory has the answer of one that is sent."""

import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient
from tests.helpers.paths import ASTRONAUT


def square(side: int) -> NDArray[np.uint8]:
    with Image.open(ASTRONAUT) as opened:
        return np.asarray(opened.convert("RGB").resize((side, side)))


def test_the_answer_is_the_same_and_the_server_takes_it(
    server: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    photo = square(640)
    with (
        FaceClient(server.grpc_address) as plain,
        FaceClient(server.grpc_address, shared_memory=True) as sharing,
    ):
        (task, *_) = plain.contract().names
        sent = plain.analyze(photo, tasks=[task])
        left = [sharing.analyze(photo, tasks=[task]) for _ in range(2)]
    assert len(sent) == 1
    assert [each.to_json() for each in left] == [sent.to_json()] * 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_photos_at_the_same_time_are_not_mixed_up(
    server: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    sides = [640, 700, 660, 720, 680, 740]
    with FaceClient(server.grpc_address, shared_memory=True) as client:
        (task, *_) = client.contract().names
        found = client.analyze_many(map(square, sides), tasks=[task], concurrency=4, ordered=True)
        assert [(result.analysis.width, len(result.faces)) for result in found if result.analysis] == [
            (side, 1) for side in sides
        ]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
