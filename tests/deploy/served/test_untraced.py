"""A gateway without --otlp-endpoint starts its Triton as if there were no traces."""

from pathlib import Path

from deploy.gateway.operation.service import GatewayServer
from runtime.spans import SOCKET


def test_triton_and_its_models_know_nothing_of_traces(server: GatewayServer) -> None:
    (triton,) = [each for each in server.status()["tritons"] if each["active"]]
    process = Path("/proc") / str(triton["pid"])
    assert "trace" not in process.joinpath("cmdline").read_text()
    assert SOCKET not in process.joinpath("environ").read_text()
