"""The gateway supervises a Triton that is installed in a folder as it does the wheel's."""

import io
import threading
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from deploy.embedded import EmbeddedServer, EnvironmentNotSupported
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import slow_repository, triton_folders
from tests.helpers.embedded_servers import HURRIED, processes_of
from tests.helpers.slow_repository import TAKES_LONG, crop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return triton_folders.lay_out(tmp_path / "tritonserver")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return slow_repository.write(tmp_path / "repository")


def test_it_answers_and_drains_and_nothing_of_it_is_left(folder: Path, repository: Path) -> None:
    log = io.StringIO()
    server = GatewayServer(repository, log=log, arguments=("--triton", str(folder)))
    answers = []
    with server, grpc.insecure_channel(server.grpc_address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(crop(1), timeout=60).raw_output_contents[0][:1] == b"\1"
        commands = processes_of(repository)
        assert [command for command in commands.values() if f"{folder}/bin/tritonserver" in command]
        slow = stub.ModelInfer.future(crop(TAKES_LONG, 15), timeout=60)
        slow.add_done_callback(lambda call: answers.append(call.code()))
        in_flight = threading.Event()
        while not in_flight.wait(0.05):
            if server.status()["in_flight"]:
                in_flight.set()
        server.stop()
        assert slow.result(timeout=60).raw_output_contents[0][0] == TAKES_LONG
    assert not processes_of(repository)
    assert "stopping: 1 accepted requests are answered first" in log.getvalue()


def test_it_runs_without_the_gateway_too(folder: Path, repository: Path) -> None:
    with EmbeddedServer(repository, triton=folder, grace=HURRIED) as server:
        assert server.models == ("echo",)
        assert not server.on_gpu
    assert not processes_of(repository)


def test_a_folder_without_a_triton_is_refused_by_the_gateway(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(EnvironmentNotSupported, match=r"tritonserver is missing"):
        GatewayServer(repository, arguments=("--triton", str(tmp_path))).start()
