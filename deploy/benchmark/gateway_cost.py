"""What the gateway costs: `python -m deploy.benchmark.gateway_cost`, or the second table of `make bench`.

The same clients send the same requests, as bytes, to a Triton through its gateway and past it, in turns. The
gateway's processor time is that of its main process alone, less what it takes when nobody calls.
"""

import argparse
import dataclasses
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from deploy.benchmark.load.sample_requests import CHANNEL, Samples
from deploy.benchmark.portrait import PORTRAIT
from deploy.benchmark.processor_time import cpu_seconds
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.front.methods import SERVICE
from deploy.gateway.operation.service import GatewayServer

MODELS = ("photo_analysis", "crop_analysis")
CLIENTS = (1, 16)

_METHOD = f"/{SERVICE}/ModelInfer"
_WARM_UP_SECONDS = 2.0
_IDLE_SECONDS = 2.0
# Fewer are refused for having waited: this is about the cost of answers.
_PATIENT = ("--queue-seconds", "60", "--triton-seconds", "60")
_BUSY_SECONDS = 0.1  # that a client waits after a refusal
_BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_DEADLINE = 60.0  # seconds, of a request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One model with so many clients; rates are answers a second."""

    model: str
    clients: int
    alone: float  # past the gateway
    through: float
    core_ms: float  # of the gateway, for each request, those included that it refused as it was busy


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Turn:
    answers: int
    refusals: int
    seconds: float
    cpu_seconds: float  # of the gateway

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def send(address: str, message: bytes, *, clients: int, seconds: float, pid: int) -> _Turn:
    """What came of `clients` that each send again once answered; grpc.RpcError for an error that stays."""
    answers, refusals, errors = [0] * clients, [0] * clients, list[grpc.RpcError]()
    with grpc.insecure_channel(address, options=CHANNEL) as channel:
        infer = channel.unary_unary(_METHOD)
        infer(message, timeout=_DEADLINE, wait_for_ready=True)
        began, cpu = time.perf_counter(), cpu_seconds(pid)

        def client(number: int) -> None:
            while time.perf_counter() < began + seconds and not errors:
                try:
                    infer(message, timeout=_DEADLINE)
                    answers[number] += 1
                except grpc.RpcError as error:
                    if error.code() not in _BUSY:
                        errors.append(error)
                    refusals[number] += 1
                    time.sleep(_BUSY_SECONDS)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = cpu_seconds(pid) - cpu
    if errors:
        raise errors[0]
    return _Turn(
        answers=sum(answers),
        refusals=sum(refusals),
        seconds=time.perf_counter() - began,
        cpu_seconds=taken,
    )


def measure(*, repository: Path, photo: Path, rounds: int, seconds: float) -> list[Row]:
    """Medians of `rounds`; EmbeddedServerError or OSError where nothing can be measured."""
    with GatewayServer(repository, arguments=_PATIENT) as server:
        triton = next(each["address"] for each in server.status()["tritons"] if each["active"])
        ways = (server.grpc_address, triton)
        pid = server.pid
        models = [name for name in MODELS if name in server.models]
        samples = Samples(server.grpc_address, models, variants=1, size=112, photos=[photo.read_bytes()])
        messages = {model: samples.messages(model)[0] for model in models}
        for model in models:
            send(server.grpc_address, messages[model], clients=4, seconds=_WARM_UP_SECONDS, pid=pid)
        idle = cpu_seconds(pid)
        time.sleep(_IDLE_SECONDS)
        idle = (cpu_seconds(pid) - idle) / _IDLE_SECONDS
        cases = [(model, clients, way) for model in models for clients in CLIENTS for way in ways]
        turns: dict[tuple[str, int, str], list[_Turn]] = {case: [] for case in cases}
        for _ in range(rounds):
            for model, clients, way in cases:
                turns[model, clients, way].append(
                    send(way, messages[model], clients=clients, seconds=seconds, pid=pid)
                )
    return [
        Row(
            model=model,
            clients=clients,
            alone=statistics.median(turn.rate for turn in turns[model, clients, triton]),
            through=statistics.median(turn.rate for turn in turns[model, clients, ways[0]]),
            core_ms=statistics.median(
                1e3 * (turn.cpu_seconds - idle * turn.seconds) / max(1, turn.answers + turn.refusals)
                for turn in turns[model, clients, ways[0]]
            ),
        )
        for model in models
        for clients in CLIENTS
    ]


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| requests | clients | past the gateway | through it | gateway, core-ms a request |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.model} | {row.clients} | {row.alone:.1f}/s | {row.through:.1f}/s | {row.core_ms:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmark.gateway_cost", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way in each round")
    options = parser.parse_args(arguments)
    try:
        rows = measure(
            repository=options.repository,
            photo=options.photo,
            rounds=options.rounds,
            seconds=options.seconds,
        )
    except (EmbeddedServerError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
