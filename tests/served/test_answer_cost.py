"""The benchmark of what an answer costs, on a server: who takes the time; and the bare steps without one."""

import dataclasses
from pathlib import Path

import numpy as np

from deploy.benchmark.answer_cost.bare_process import Bare
from deploy.benchmark.answer_cost.client_process import Clients
from deploy.benchmark.answer_cost.rows import Request
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.server_processes import ServerProcesses
from tests.helpers.paths import ROOT


def test_each_request_takes_time_of_the_processes_on_its_way(server: GatewayServer, tmp_path: Path) -> None:
    np.save(tmp_path / "crop.npy", np.zeros((112, 112, 3), np.uint8))
    clients, processes = Clients(), ServerProcesses(server.supervisor_pid)
    place = clients.detect(address=server.grpc_address, file=str(PORTRAIT))
    ways = {
        "crop_preprocess": Request(file=str(tmp_path / "crop.npy"), crop=True),
        "face_preprocess": Request(file=str(PORTRAIT), box=place["box"], landmarks=place["landmarks"]),
        "photo_analysis": Request(file=str(PORTRAIT)),
    }
    for model, request in ways.items():
        before = processes.seconds()
        answered = clients.closed(
            address=server.grpc_address, request=dataclasses.asdict(request), clients=2, seconds=0.0
        )
        after = processes.seconds()
        assert len(answered["latencies"]) == 2
        took = {part: after[part] - before[part] for part in after}
        assert all(took[part] > 0 for part in ("gateway", "tritonserver", "face_engine", model))
        others = {name: took[name] for name in ways if name != model}
        assert max(others.values()) < took[model]


def test_the_bare_steps_find_and_answer_the_portrait() -> None:
    answered = Bare(ROOT / "var" / "test" / "repository").photo(file=str(PORTRAIT), seconds=0.0)
    assert answered["faces"] == 1
    assert list(answered["core_seconds"]) == ["decode", "detect", "crop", "engine", "postprocess"]
