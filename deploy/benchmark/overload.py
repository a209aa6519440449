"""What a server does with more requests than it can answer: `python -m deploy.benchmark.overload`.

Finds the capacity of one model (answers a second to clients that send again once answered), then offers parts
and multiples of it as independent (Poisson) arrivals from several processes, whose clients don't wait for
one another. Latencies count from the moment that a request was due. Clients and server share the cores of
this machine, unless --url names another one. The requirement: at four times the capacity, the p99 of what is
answered is at most three times the p99 at 80 %.
"""

import argparse
import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load.sample_requests import CHANNEL, picture, question_of, request_for
from deploy.embedded import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.generator import GeneratorError, GeneratorPool, Records
from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.protocols.base import OK, REFUSED, Target
from deploy.loadtest.work.question import Question
from deploy.measuring.command import command, count, parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from qface_client.measuring.percentiles import percentile

LOADS = (0.8, 4.0)

_CLOSED_CLIENTS = 16  # that find the capacity: enough to fill batches
_LEARNING_SHARE = 0.25  # of the seconds go by before anything counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """Seconds of each answered and each refused request, and the other ends by their code."""

    answered: Sequence[float] = ()
    refused: Sequence[float] = ()
    others: Counter[str] = dataclasses.field(default_factory=Counter)

    @classmethod
    def of(cls, records: Records, codes: Sequence[str]) -> Self:
        """Of a generator's records, and the words of their codes."""
        seconds, words = records["ended"] - records["due"], np.array(codes, dtype=object)[records["code"]]
        refused = np.isin(words, list(REFUSED))
        return cls(
            answered=seconds[words == OK].tolist(),
            refused=seconds[refused].tolist(),
            others=Counter(words[~refused & (words != OK)].tolist()),
        )


class Measurement:
    """What becomes of a question to a server that the processes of a pool ask.

    learning    share of the seconds that goes by before anything counts
    """

    def __init__(self, pool: GeneratorPool, *, seconds: float, learning: float = _LEARNING_SHARE) -> None:
        self._pool = pool
        self._seconds = seconds
        self._learning = learning

    def capacity(self) -> float:
        """Answers a second."""
        return len(self._run(ClosedLoop(clients=_CLOSED_CLIENTS)).answered) / self._seconds

    def offered(self, rate: float) -> Tally:
        """What becomes of independent arrivals, `rate` a second."""
        return self._run(OpenLoop(rate=rate))

    def _run(self, load: Load) -> Tally:
        learning = self._learning * self._seconds
        records, codes = self._pool.run(load, learning + self._seconds)
        counted = records["due"] >= records["due"].min(initial=np.inf) + learning
        return Tally.of(records[counted], codes)


def question_to(address: str, *, model: str, photo: bytes, crop_side: int) -> Question:
    """One picture for the model; ValueError where there is none, or it takes something else."""
    with grpc.insecure_channel(address, options=CHANNEL) as channel:
        stub = v2_grpc.GRPCInferenceServiceStub(channel)
        try:
            config = stub.ModelConfig(v2.ModelConfigRequest(name=model), timeout=10).config
        except grpc.RpcError as error:
            raise ValueError(f"{address} does not describe the model {model}: {error.details()}") from None
    request = request_for(config, encoded=photo, pixels=picture(0, size=crop_side))
    if request is None:
        raise ValueError(f"the model {model} takes more than a picture: name another one with --model")
    return question_of(request)


def row(name: str, tally: Tally, *, offered: float, seconds: float) -> str:
    """A line of the table."""
    others = ", ".join(f"{count} {status}" for status, count in sorted(tally.others.items())) or "none"
    cells = [
        name,
        f"{offered:.1f}",
        f"{len(tally.answered) / seconds:.1f}",
        f"{len(tally.refused) / seconds:.1f}",
        others,
        *(f"{1e3 * percentile(tally.answered, share):.0f}" for share in (0.5, 0.9, 0.99)),
        f"{1e3 * percentile(tally.refused, 0.99):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| load | offered/s | answered/s | refused/s | other ends | p50 ms | p90 ms | p99 ms | refused p99 ms |\n"
    "|---|---:|---:|---:|---|---:|---:|---:|---:|"
)


@contextlib.contextmanager
def _server(options: argparse.Namespace) -> Iterator[str]:
    """The address of the server to measure."""
    if options.url:
        yield options.url
        return
    with GatewayServer(options.repository) as server:
        yield server.grpc_address


@command("overload", EmbeddedServerError, GeneratorError)
def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of(
        "deploy.benchmark.overload", __doc__, repository=True, seconds=20.0, seconds_of="of each load"
    )
    parser.add_argument("--url", help="host:port of a running server (default: a gateway started for this)")
    parser.add_argument("--model", default="photo_analysis")
    parser.add_argument("--photo", type=Path, default=PORTRAIT, help="for models that take a picture file")
    parser.add_argument("--crop-side", type=int, default=224, help="pixels, for models that take raw pixels")
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="parts of the capacity")
    parser.add_argument("--capacity", type=float, help="answers a second (default: it is measured)")
    parser.add_argument("--processes", type=count, default=2, help="that clients run in")
    parser.add_argument("--deadline", type=float, default=10.0, help="of each request, in seconds")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(_server(options))
        question = question_to(
            address, model=options.model, photo=options.photo.read_bytes(), crop_side=options.crop_side
        )
        target = Target(protocol="grpc", address=address)
        pool = GeneratorPool(target, [question], processes=options.processes, deadline=options.deadline)
        measured = Measurement(stack.enter_context(pool), seconds=options.seconds)
        capacity = options.capacity or measured.capacity()
        print(f"{options.model}: {capacity:.1f} answers a second\n\n{HEAD}", flush=True)
        p99: dict[float, float] = {}
        for load in options.loads:
            tally = measured.offered(load * capacity)
            p99[load] = percentile(tally.answered, 0.99)
            line = row(f"{load:g} x", tally, offered=load * capacity, seconds=options.seconds)
            print(line, flush=True)
    lowest, highest = min(p99), max(p99)
    print(f"\np99 at {highest:g} x is {p99[highest] / p99[lowest]:.2f} times that at {lowest:g} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
