"""`priority=` against the real gateway, which takes what its document states."""

import pytest

from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient, InvalidInput
from tests.helpers.paths import ASTRONAUT as PORTRAIT


def test_the_gateway_takes_0_and_1_and_refuses_others(server: GatewayServer) -> None:
    with FaceClient(server.grpc_address) as client:
        for priority in (None, 0, 1):
            assert len(client.detect(PORTRAIT, priority=priority)) == 1
        with pytest.raises(InvalidInput, match=r"'priority' .*: it is an integer of 0 to 1") as caught:
            client.detect(PORTRAIT, priority=2)
    assert caught.value.server_message is not None
    assert caught.value.call is not None
    assert (caught.value.call.method, caught.value.call.file) == ("detect", str(PORTRAIT))
