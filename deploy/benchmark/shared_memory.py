"""What a photo of 12 megapixels as an array costs over gRPC, and through memory that its client shares.

    python -m deploy.benchmark.shared_memory

A portrait scaled up, with all tasks, to a gateway over the assembled repository on this machine. What counts
is the processor time of the client, the gateway, tritonserver and its models; the time until the answer is
that of a machine which does nothing else. Ways take turns, and so does which of them begins.
"""

import functools
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.embedded import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.server_processes import ServerProcesses, medians_by_part
from qface_client import FaceClient, QFaceError
from qface_client.measuring.sample import Sample

_WIDTH, _HEIGHT = 4000, 3000
_WAYS = {"gRPC": False, "shared memory": True}
_CLIENT, _ALL, _WALL = "client", "all", "until the answer, ms"
_TIMEOUT = 120.0
_LEAST = 0.5  # core-ms of a part that has a column


def large_photo() -> NDArray[np.uint8]:
    """The portrait, scaled up, with a plain surface on both sides."""
    with Image.open(PORTRAIT) as opened:
        picture = opened.convert("RGB").resize((_HEIGHT, _HEIGHT), Image.Resampling.LANCZOS)
    photo = Image.new("RGB", (_WIDTH, _HEIGHT), picture.getpixel((0, 0)))
    photo.paste(picture, ((_WIDTH - _HEIGHT) // 2, 0))
    return np.ascontiguousarray(np.asarray(photo))


def _send(client: FaceClient, photo: NDArray[np.uint8], *, calls: int) -> Sample:
    began, latencies = time.process_time(), []
    for _ in range(calls):
        sent = time.monotonic()
        client.analyze(photo)
        latencies.append(time.monotonic() - sent)
    spent = time.process_time() - began
    return Sample(
        answers=calls, seconds=sum(latencies), core_seconds={_CLIENT: spent}, latencies=sorted(latencies)
    )


def _costs(sample: Sample) -> dict[str, float]:
    found = sample.core_ms
    middle = sample.latencies[len(sample.latencies) // 2]
    return {**found, _ALL: sum(found.values()), _WALL: 1e3 * middle}


def table(costs: Mapping[str, Mapping[str, float]]) -> str:
    """A line a way; core-ms by process."""
    first = next(iter(costs.values()))
    parts = [part for part in first if max(cost[part] for cost in costs.values()) >= _LEAST]
    lines = [f"| core-ms a photo | {' | '.join(parts)} |", "|---" + "|---:" * len(parts) + "|"]
    for way, cost in costs.items():
        lines.append(f"| {way} | {' | '.join(f'{cost[part]:.0f}' for part in parts)} |")
    return "\n".join(lines)


@command("shared_memory", EmbeddedServerError, QFaceError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table."""
    parser = parser_of("deploy.benchmark.shared_memory", __doc__, repository=True, rounds=9)
    parser.add_argument("--calls", type=int, default=3, help="of each way in a round (default: 3)")
    options = parser.parse_args(arguments)
    photo = large_photo()
    found: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    with (
        GatewayServer(options.repository, arguments=("--shared-memory",)) as server,
        FaceClient(server.grpc_address, timeout=_TIMEOUT) as plain,
        FaceClient(server.grpc_address, timeout=_TIMEOUT, shared_memory=True) as sharing,
    ):
        processes = ServerProcesses(server.supervisor_pid)
        clients = {way: sharing if shares else plain for way, shares in _WAYS.items()}
        for client in clients.values():
            _send(client, photo, calls=2)
        for number in range(options.rounds):
            for way in sorted(_WAYS, reverse=bool(number % 2)):
                send = functools.partial(_send, clients[way], photo, calls=options.calls)
                found[way].append(_costs(processes.sample(send)))
    print(table({way: medians_by_part(rounds) for way, rounds in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
