"""Some of every kind of hostile file, through the real server: `make hostile` sends all of them."""

from collections import defaultdict

import grpc

from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.gateway.operation.service import GatewayServer
from tests.hostile.doors import photo_door
from tests.hostile.health import family
from tests.hostile.pictures.corpus import corpus
from tests.hostile.pictures.files import HostileFile

OF_A_KIND = 2
LARGEST = 100_000  # bytes: larger ones take longer and are all alike to a model


def some() -> list[HostileFile]:
    """Spread over each kind's files."""
    kinds: dict[str, list[HostileFile]] = defaultdict(list)
    for file in corpus():
        if len(file.data) < LARGEST and "7,000" not in file.name and "49 mega" not in file.name:
            kinds[file.kind].append(file)
    return [file for files in kinds.values() for file in files[1 :: max(1, len(files) // OF_A_KIND)]]


def test_hostile_files_are_answered_right_or_refused_by_the_same_processes(server: GatewayServer) -> None:
    files = some()
    assert len(files) >= 30
    before = family(server.supervisor_pid)
    with grpc.insecure_channel(server.grpc_address, options=CHANNEL) as channel:
        judge = photo_door(channel, "photo_analysis")
        wrong = {file.name: flaw for file in files if (flaw := judge(file)[0])}
    assert not wrong
    assert before.items() <= family(server.supervisor_pid).items()
