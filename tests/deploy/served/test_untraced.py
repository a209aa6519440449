"""A gateway without --otlp-endpoint starts its Triton as if there were no traces."""

from pathlib import Path

from deploy.gateway.operation.service import GatewayServer
from runtime.spans import SOCKET


def test_triton_and_its_models_know_nothing_of_traces(server: GatewayServer) -> None:
    (triton,) = [each for each in server.status()["tritons"] if each["active"]]
    process = Path("/proc") / str(triton["pid"])
    words = process.joinpath("cmdline").read_text().split("\0")
    assert any(word.startswith("--model-repository=") for word in words)
    assert not [word for word in words if word.startswith("--trace")]
    assert SOCKET not in process.joinpath("environ").read_text()
