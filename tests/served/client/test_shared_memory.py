"""A large photo that is left in memory has the answer of one that is sent."""

import logging

import numpy as np
import pytest
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient
from tests.helpers.paths import ASTRONAUT


def test_the_answer_is_the_same_and_the_server_takes_it(
    server: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    with Image.open(ASTRONAUT) as opened:
        photo = np.asarray(opened.convert("RGB").resize((1024, 1024)))
    with (
        FaceClient(server.grpc_address) as plain,
        FaceClient(server.grpc_address, shared_memory=True) as sharing,
    ):
        sent = plain.analyze(photo)
        left = [sharing.analyze(photo) for _ in range(2)]
    assert len(sent) == 1
    assert [each.to_json() for each in left] == [sent.to_json()] * 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
