"""Quick `make soak`: after some hundred requests of all sorts, processes hold what they held before."""

from collections.abc import Callable
from pathlib import Path

from deploy.benchmark.load import End
from deploy.benchmark.soak.catalogue import Catalogue
from deploy.benchmark.soak.census import Held, Sample
from deploy.benchmark.soak.run import Plan, Recorder, Soak, wrong_ones
from deploy.benchmark.soak.traffic import Questions, senders
from deploy.gateway.operation.service import GatewayServer

CLIENTS = 8
# The C library's caches a thread, and the largest pictures: a leak of 0.3 MiB a request is more.
BYTES = 64 * 2**20


def by_process(sample: Sample, measure: Callable[[Held], int]) -> dict[str, int]:
    return {f"{held.role}, {held.pid}": measure(held) for held in sample.processes}


def test_processes_descriptors_and_regions_are_what_they_were(gateway: GatewayServer, tmp_path: Path) -> None:
    questions = Questions.of(Catalogue(gateway.grpc_address, gateway.models, every=3))
    recorder = Recorder(None)
    soak = Soak(
        gateway,
        senders(gateway.grpc_address, questions, clients=CLIENTS),
        plan=Plan(requests=300, warm_up=100, step=50),
        recorder=recorder,
        folder=tmp_path,
    )
    soak.run()
    assert not wrong_ones(soak.outcomes)
    ends = {outcome.end for outcome in soak.outcomes}
    assert ends >= {End.ANSWERED, End.REFUSED, End.ABANDONED}
    before, after = (sample for sample in recorder.samples if not sample.connected)
    assert after.requests - before.requests >= 200
    assert by_process(after, lambda held: held.descriptors) == by_process(
        before, lambda held: held.descriptors
    )
    assert after.regions == before.regions > 0
    grown = {
        process: rss - by_process(before, lambda held: held.rss)[process]
        for process, rss in by_process(after, lambda held: held.rss).items()
    }
    assert max(grown.values()) < BYTES, grown
