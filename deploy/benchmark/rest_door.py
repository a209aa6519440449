"""What a photo costs the gateway over REST and over gRPC, and what its JSON takes.

    python -m deploy.benchmark.rest_door

Photos go one after the other to a gateway over the assembled repository. What counts is the processor time of
the gateway's own processes a photo: that of the REST door would be the main process's, were it no process of
its own.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.benchmark.load.rest import RestClient
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processor_time import cpu_seconds
from qface_client import FaceClient
from qface_client.results import Analysis

_WARM_UP = 5
_FACES = (1, 10, 100, 320)
_REPEATS = 5
_SECONDS = 60.0  # that a photo over REST may take


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    parser.add_argument("--count", type=int, default=60, help="photos each way (default: %(default)s)")
    options = parser.parse_args()
    photo = options.photo.read_bytes()
    with GatewayServer(options.repository, rest_port=0) as server, FaceClient(server.grpc_address) as client:
        (door,) = (each["pid"] for each in server.status()["further_fronts"] if each["door"] == "REST")
        rest = RestClient(server.rest_address)
        print("| photos, one after the other | main process, core-ms | REST door, core-ms |\n|---|---:|---:|")
        for name, send in (
            ("over gRPC", lambda: client.analyze(photo)),
            ("over REST", lambda: _post(rest, photo)),
        ):
            in_main, in_door = _cost(send, server.pid, door, count=options.count)
            print(f"| {name} | {in_main:.1f} | {in_door:.1f} |")
        analysis = client.analyze(photo)
    print("\n| faces in an answer | JSON, kB | making it, core-ms |\n|---:|---:|---:|")
    for faces in _FACES:
        size, seconds = _json_of(analysis, faces)
        print(f"| {faces} | {size / 1e3:.0f} | {seconds * 1e3:.1f} |")


def _post(rest: RestClient, photo: bytes) -> None:
    reply, _ = rest.analyze(photo, query={}, deadline=_SECONDS)
    if reply.code != "OK":
        raise SystemExit(f"the photo was not answered: {reply.code} {reply.details}")


def _cost(send: Callable[[], Any], *pids: int, count: int) -> tuple[float, ...]:
    """Milliseconds of processor time a call, by process."""
    for _ in range(_WARM_UP):
        send()
    before = [cpu_seconds(pid) for pid in pids]
    for _ in range(count):
        send()
    return tuple((cpu_seconds(pid) - began) / count * 1e3 for pid, began in zip(pids, before, strict=True))


def _json_of(analysis: Analysis, faces: int) -> tuple[int, float]:
    """Bytes of an answer with so many of the photo's first face, and the seconds that making it takes."""
    many = Analysis(
        [analysis[0]] * faces, width=analysis.width, height=analysis.height, contract=analysis.contract
    )
    seconds = []
    for _ in range(_REPEATS):
        began = time.thread_time()
        text = json.dumps(many.to_json())
        seconds.append(time.thread_time() - began)
    return len(text), statistics.median(seconds)


if __name__ == "__main__":
    main()
