"""Quick `make soak`: after some hundred requests of all sorts, processes hold what they held before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.benchmark.load import End
from deploy.benchmark.soak.catalogue import Catalogue
from deploy.benchmark.soak.census import Held, Sample
from deploy.benchmark.soak.run import Plan, Recorder, Soak, wrong_ones
from deploy.benchmark.soak.traffic import Questions, senders
from deploy.gateway.operation.service import GatewayServer

CLIENTS = 8
WARM_UP, REQUESTS = 80, 140
# What the C library keeps for a thread and for the largest picture; slower growth is for `make soak` to find.
BYTES = 64 * 2**20
GATEWAY_BYTES = 32 * 2**20  # of a process that holds no decoded picture
GATEWAY = ("supervisor", "main process", "front process", "guard")


def by_process(sample: Sample, measure: Callable[[Held], int]) -> dict[str, int]:
    return {f"{held.role}, {held.pid}": measure(held) for held in sample.processes}


@pytest.mark.heavy
def test_processes_descriptors_and_regions_are_what_they_were(gateway: GatewayServer, tmp_path: Path) -> None:
    questions = Questions.of(Catalogue(gateway.grpc_address, gateway.models, every=5))
    recorder = Recorder(None)
    soak = Soak(
        gateway,
        senders(gateway.grpc_address, questions, clients=CLIENTS),
        plan=Plan(requests=WARM_UP + REQUESTS, warm_up=WARM_UP, step=50),
        recorder=recorder,
        folder=tmp_path,
    )
    soak.run()
    assert not wrong_ones(soak.outcomes)
    ends = {outcome.end for outcome in soak.outcomes}
    assert ends >= {End.ANSWERED, End.REFUSED, End.ABANDONED}
    before, after = (sample for sample in recorder.samples if not sample.connected)
    assert after.requests - before.requests >= REQUESTS // 2  # the warm-up ends some requests late
    assert by_process(after, lambda held: held.descriptors) == by_process(
        before, lambda held: held.descriptors
    )
    assert after.regions == before.regions > 0
    grown = {
        process: rss - by_process(before, lambda held: held.rss)[process]
        for process, rss in by_process(after, lambda held: held.rss).items()
    }
    print(grown)
    assert max(grown.values()) < BYTES, grown
    assert max(size for process, size in grown.items() if process.startswith(GATEWAY)) < GATEWAY_BYTES, grown
