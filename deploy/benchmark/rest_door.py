"""What a photo costs the gateway over REST and over gRPC, and what its JSON takes.

    python -m deploy.benchmark.rest_door

Photos go one after the other to a gateway over the assembled repository. What counts is the processor time of
the gateway's own processes a photo: that of the REST door would be the main process's, were it no process of
its own.
"""

import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.benchmark.load.rest import RestClient
from deploy.embedded import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processor_time import core_ms
from deploy.measuring.server_processes import Parts
from qface_client import FaceClient, QFaceError
from qface_client.measuring.loops import closed_loop
from qface_client.results import Analysis

_MAIN, _DOOR = "main process", "REST door"
_WARM_UP_SECONDS, _IDLE_SECONDS = 0.5, 2.0
_FACES = (1, 10, 100, 320)
_REPEATS = 5
_SECONDS = 60.0  # that a photo over REST may take


@command("rest_door", EmbeddedServerError, QFaceError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table."""
    parser = parser_of(
        "deploy.benchmark.rest_door", __doc__, repository=True, seconds=5.0, seconds_of="of each way"
    )
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    options = parser.parse_args(arguments)
    photo = options.photo.read_bytes()
    with GatewayServer(options.repository, rest_port=0) as server, FaceClient(server.grpc_address) as client:
        (door,) = (each["pid"] for each in server.status()["further_fronts"] if each["door"] == "REST")
        rest = RestClient(server.rest_address)
        print("| photos, one after the other | main process, core-ms | REST door, core-ms |\n|---|---:|---:|")
        processes = Parts({_MAIN: [server.pid], _DOOR: [door]})
        for name, ask in (
            ("over gRPC", lambda: client.analyze(photo)),
            ("over REST", lambda: _post(rest, photo)),
        ):
            closed_loop(ask, clients=1, seconds=_WARM_UP_SECONDS)
            time.sleep(_WARM_UP_SECONDS)
            idle = processes.idle_load(_IDLE_SECONDS)
            send = functools.partial(closed_loop, ask, clients=1, seconds=options.seconds)
            cost = processes.sample(send).without_idle(idle).core_ms
            print(f"| {name} | {cost[_MAIN]:.1f} | {cost[_DOOR]:.1f} |")
        analysis = client.analyze(photo)
    print("\n| faces in an answer | JSON, kB | making it, core-ms |\n|---:|---:|---:|")
    for faces in _FACES:
        size, taken = _json_of(analysis, faces)
        print(f"| {faces} | {size / 1e3:.0f} | {taken:.1f} |")
    return 0


def _post(rest: RestClient, photo: bytes) -> None:
    reply, _ = rest.analyze(photo, query={}, deadline=_SECONDS)
    if reply.code != "OK":
        raise ValueError(f"the photo was not answered: {reply.code} {reply.details}")


def _json_of(analysis: Analysis, faces: int) -> tuple[int, float]:
    """Bytes of an answer with so many of the photo's first face, and the core-ms that making it takes."""
    many = Analysis(
        [analysis[0]] * faces, width=analysis.width, height=analysis.height, contract=analysis.contract
    )
    taken = core_ms({"JSON": lambda: many.to_json_line()}, rounds=_REPEATS)
    return len(many.to_json_line()), taken["JSON"]


if __name__ == "__main__":
    sys.exit(main())
