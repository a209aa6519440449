"""The model beside this machine: predicted and measured answers a second of what is served on its CPU.

    python -m deploy.capacity.validate                 # on a machine that does nothing else
    sudo python -m deploy.capacity.validate --real-time     # on a busy one: bursts that come before all else

Three kinds of request are measured alone. Their core-ms then predict their rates, and those of a mix that is
measured too; on a CPU the network, the gateway and the clients take their part of the same cores.
"""

import argparse
import contextlib
import functools
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.benchmark.answer_cost.client_process import read_answers
from deploy.benchmark.answer_cost.rows import MANY
from deploy.capacity.model import BUSY, cpu_rate
from deploy.capacity.requests import RequestCost, cost_of
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.loops import Ask, closed_loop
from deploy.measuring.pictures.photos import read_rgb
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processes import processes_below
from deploy.measuring.sample import Sample
from deploy.measuring.server_processes import ServerProcesses, medians_by_part
from qface_client import FaceClient
from runtime.image.crops import crop_of

MIX = {"crop": 0.5, "face": 0.3, "photo": 0.2}
_PATIENT = ("--queue-seconds", "60", "--triton-seconds", "60")
_TIMEOUT = 60.0
_PAUSE_SECONDS = 2.0  # between bursts: others have the machine again


def validate(
    repository: Path, *, rounds: int, seconds: float, busy: float, real_time: bool
) -> list[tuple[str, float, float]]:
    """What was asked, its predicted and its measured answers a second (medians), the mix last.

    Raises EmbeddedServerError or OSError where it can't be measured, PermissionError where real time needs
    another user.
    """
    with (
        GatewayServer(repository, arguments=_PATIENT) as server,
        FaceClient(server.grpc_address, timeout=_TIMEOUT) as client,
    ):
        asks = _asks(client)
        processes = ServerProcesses(server.supervisor_pid)
        for ask in asks.values():
            closed_loop(ask, clients=MANY, seconds=0.5)
        bursts: dict[str, list[Sample]] = {name: [] for name in asks}
        for _ in range(rounds):
            for name, ask in asks.items():
                time.sleep(_PAUSE_SECONDS)
                with _real_time(server.supervisor_pid) if real_time else contextlib.nullcontext():
                    send = functools.partial(closed_loop, ask, clients=MANY, seconds=seconds)
                    bursts[name].append(processes.sample(send))
    costs = {name: _cost(name, of_it) for name, of_it in bursts.items()}
    mixes = {name: [(1.0, costs[name])] for name in MIX}
    mixes["mix"] = [(share, costs[name]) for name, share in MIX.items()]
    cores = len(os.sched_getaffinity(0))
    return [
        (
            name,
            cpu_rate(mixes[name], cores=cores, busy=busy),
            statistics.median(burst.rate for burst in of_it),
        )
        for name, of_it in bursts.items()
    ]


def _asks(client: FaceClient) -> dict[str, Ask]:
    encoded = PORTRAIT.read_bytes()
    (face, *_) = client.detect(encoded)
    contract = client.contract()
    crop, _ = crop_of(contract.crop)(read_rgb(PORTRAIT), landmarks=face.landmarks5, size=contract.input_size)
    asks: dict[str, Ask] = {
        "crop": lambda: read_answers([client.analyze_crop(crop)]),
        "face": lambda: read_answers([client.analyze_face(encoded, box=face.box, landmarks=face.landmarks5)]),
        "photo": lambda: read_answers(client.analyze(encoded)),
    }
    chance = random.Random(15)
    kinds, shares = list(MIX), list(MIX.values())
    return asks | {"mix": lambda: asks[chance.choices(kinds, shares)[0]]()}


def _cost(name: str, bursts: Sequence[Sample]) -> RequestCost:
    return cost_of(name, faces=1, parts=medians_by_part([burst.core_ms for burst in bursts]))


@contextlib.contextmanager
def _real_time(supervisor: int) -> Iterator[None]:
    """Until its end, all threads of the server and of this process come before those of all others."""
    pids = [os.getpid(), supervisor, *processes_below(supervisor)]
    try:
        _schedule(pids, os.SCHED_RR, priority=1)
        yield
    finally:
        _schedule(pids, os.SCHED_OTHER, priority=0)


def _schedule(pids: Sequence[int], policy: int, *, priority: int) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


def table(found: Sequence[tuple[str, float, float]]) -> str:
    """Markdown."""
    lines = ["| 16 clients | predicted answers/s | measured | error |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {predicted:.1f} | {measured:.1f} | {predicted / measured - 1:+.0%} |"
        for name, predicted, measured in found
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.capacity.validate", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a burst (default: 1.5)")
    parser.add_argument("--busy", type=float, default=BUSY, help=f"share of the cores (default: {BUSY})")
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="before all other processes, which stand still for the length of each burst; needs root",
    )
    options = parser.parse_args(arguments)
    try:
        found = validate(
            options.repository,
            rounds=options.rounds,
            seconds=options.seconds,
            busy=options.busy,
            real_time=options.real_time,
        )
    except (EmbeddedServerError, ValueError, OSError) as error:
        print(f"validate: {error}", file=sys.stderr)
        return 2
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
