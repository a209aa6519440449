"""What a server does with more requests than it can answer: `python -m deploy.benchmark.overload`.

Finds the capacity of one model (answers a second to clients that send again once answered), then offers parts
and multiples of it as independent (Poisson) arrivals from several processes, whose clients don't wait for
one another. Latencies count from the moment that a request was due. Clients and server share the cores of
this machine, unless --url names another one. The requirement: at four times the capacity, the p99 of what is
answered is at most three times the p99 at 80 %.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load.sample_requests import CHANNEL, TOLERANCE, Sample, picture, request_for
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.percentiles import percentile
from deploy.measuring.pictures.portrait import PORTRAIT

LOADS = (0.8, 4.0)
WRONG = "WRONG"  # the end of a request that was answered with something else
REFUSED = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE})

_METHOD = f"/{v2.DESCRIPTOR.services_by_name['GRPCInferenceService'].full_name}/ModelInfer"
_CLOSED_CLIENTS = 16  # that find the capacity: enough to fill batches
_CHANNELS = 4  # connections of a process
_LEARNING_SHARE = 0.25  # of the seconds go by before anything counts
_PUSHBACK = "grpc-retry-pushback-ms"
_REFUSED_PAUSE = (
    0.25  # seconds before a refused client that finds the capacity sends again, or what it was given
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """What one client process sends. `rate` None: each of `clients` sends again once it was answered.

    learning    part of `seconds` that goes by before anything counts
    expected    the request's right answer, serialised, to compare answers with (b"": they are not read)
    tolerance   of its numbers
    """

    address: str
    request: bytes
    seconds: float
    deadline: float
    rate: float | None = None
    clients: int = 0
    seed: int = 0
    learning: float = _LEARNING_SHARE
    expected: bytes = b""
    tolerance: float = TOLERANCE


@dataclasses.dataclass(kw_only=True)
class Tally:
    """Seconds of each answered and each refused request, and the other ends by status, or by WRONG."""

    answered: list[float] = dataclasses.field(default_factory=list)
    refused: list[float] = dataclasses.field(default_factory=list)
    others: Counter[str] = dataclasses.field(default_factory=Counter)

    def __add__(self, more: "Tally") -> "Tally":
        return Tally(
            answered=self.answered + more.answered,
            refused=self.refused + more.refused,
            others=self.others + more.others,
        )


# -- a client process -----------------------------------------------------------------------------------


def send(share: Share) -> Tally:
    """Sends a process's share of the load."""
    return asyncio.run(_send(share))


async def _send(share: Share) -> Tally:
    tally = Tally()
    async with contextlib.AsyncExitStack() as stack:
        calls = [
            (
                await stack.enter_async_context(grpc.aio.insecure_channel(share.address, options=CHANNEL))
            ).unary_unary(_METHOD)
            for _ in range(_CHANNELS)
        ]
        counts_from = time.monotonic() + share.learning * share.seconds
        end = counts_from + share.seconds
        expected = v2.ModelInferResponse.FromString(share.expected)
        sample = Sample(request=v2.ModelInferRequest(), expected=expected) if share.expected else None

        async def one(number: int, due: float) -> float:
            """Seconds to wait before another try: 0 where it was answered."""
            pause = 0.0
            try:
                answer = await calls[number % _CHANNELS](share.request, timeout=share.deadline)
            except grpc.aio.AioRpcError as error:
                pause = _pause(error)
                if error.code() not in REFUSED:
                    tally.others[error.code().name] += 1
                    return pause
            else:
                if sample and sample.flaw(
                    v2.ModelInferResponse.FromString(answer), tolerance=share.tolerance
                ):
                    tally.others[WRONG] += 1
                    return pause
            if due >= counts_from:
                (tally.refused if pause else tally.answered).append(time.monotonic() - due)
            return pause

        await (_open(one, share, end=end) if share.rate else _closed(one, share, end=end))
    return tally


def _pause(error: grpc.aio.AioRpcError) -> float:
    given = dict(error.trailing_metadata()).get(_PUSHBACK)
    return max(int(given) / 1e3, _REFUSED_PAUSE) if given else _REFUSED_PAUSE


_One = Callable[[int, float], Coroutine[Any, Any, float]]


async def _open(one: _One, share: Share, *, end: float) -> None:
    assert share.rate is not None
    arrivals, due, number = random.Random(share.seed), time.monotonic(), 0
    tasks: set[asyncio.Task[float]] = set()
    while due < end:
        await asyncio.sleep(due - time.monotonic())
        task = asyncio.create_task(one(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        due += arrivals.expovariate(share.rate)
    await asyncio.gather(*tasks)


async def _closed(one: _One, share: Share, *, end: float) -> None:
    async def client(number: int) -> None:
        while (due := time.monotonic()) < end:
            await asyncio.sleep(await one(number, due))

    await asyncio.gather(*(client(number) for number in range(share.clients)))


# -- the measurement ------------------------------------------------------------------------------------


class Measurement:
    """Measures what becomes of a request to a server that `processes` client processes send, a share each."""

    def __init__(self, share: Share, *, processes: int) -> None:
        self._processes = processes
        self._share = share

    def capacity(self) -> float:
        """Answers a second."""
        clients = -(-_CLOSED_CLIENTS // self._processes)
        tally = self._run([dataclasses.replace(self._share, clients=clients)] * self._processes)
        return len(tally.answered) / self._share.seconds

    def offered(self, rate: float) -> Tally:
        """What becomes of independent arrivals, `rate` a second."""
        return self._run(
            [
                dataclasses.replace(self._share, rate=rate / self._processes, seed=seed)
                for seed in range(self._processes)
            ]
        )

    def _run(self, shares: Sequence[Share]) -> Tally:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(len(shares), mp_context=context) as pool:
            return sum(pool.map(send, shares), Tally())


def sample_request(address: str, *, model: str, photo: bytes, crop_side: int) -> bytes:
    """A serialised request of one picture to the model; ValueError where it takes something else."""
    with grpc.insecure_channel(address, options=CHANNEL) as channel:
        stub = v2_grpc.GRPCInferenceServiceStub(channel)
        config = stub.ModelConfig(v2.ModelConfigRequest(name=model), timeout=10).config
    request = request_for(config, encoded=photo, pixels=picture(0, size=crop_side))
    if request is None:
        raise ValueError(f"the model {model} takes more than a picture: name another one with --model")
    return bytes(request.SerializeToString())


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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmark.overload", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--url", help="host:port of a running server (default: a gateway started for this)")
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--model", default="photo_analysis")
    parser.add_argument("--photo", type=Path, default=PORTRAIT, help="for models that take a picture file")
    parser.add_argument("--crop-side", type=int, default=224, help="pixels, for models that take raw pixels")
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="parts of the capacity")
    parser.add_argument("--capacity", type=float, help="answers a second (default: it is measured)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--processes", type=int, default=2, help="that clients run in")
    parser.add_argument("--deadline", type=float, default=10.0, help="of each request, in seconds")
    options = parser.parse_args(arguments)
    try:
        with _server(options) as address:
            request = sample_request(
                address, model=options.model, photo=options.photo.read_bytes(), crop_side=options.crop_side
            )
            share = Share(
                address=address, request=request, seconds=options.seconds, deadline=options.deadline
            )
            measured = Measurement(share, processes=options.processes)
            capacity = options.capacity or measured.capacity()
            print(f"{options.model}: {capacity:.1f} answers a second\n\n{HEAD}", flush=True)
            p99: dict[float, float] = {}
            for load in options.loads:
                tally = measured.offered(load * capacity)
                p99[load] = percentile(tally.answered, 0.99)
                line = row(f"{load:g} x", tally, offered=load * capacity, seconds=options.seconds)
                print(line, flush=True)
    except (EmbeddedServerError, ValueError, OSError, grpc.RpcError) as error:
        print(f"overload: {error}", file=sys.stderr)
        return 2
    lowest, highest = min(p99), max(p99)
    print(f"\np99 at {highest:g} x is {p99[highest] / p99[lowest]:.2f} times that at {lowest:g} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
