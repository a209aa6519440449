"""What an answer costs in the own process, beside the same server's: core-ms a photo and photos a second.

    python -m deploy.benchmark.local_client --out benchmarks/DATE-local-client.json

A LocalFaceClient and a FaceClient of the served repository analyse the same small photos, in turns: one call
after the other, and sixteen at a time. Local core-ms are this process's; of the server they are those of its
processes and of this one together.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.benchmark.client_bulk.pictures import write_pictures
from deploy.embedded.errors import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.about import about
from deploy.measuring.command import command, count, parser_of
from deploy.measuring.plain_data import write_json
from deploy.measuring.processes import processes_below
from deploy.measuring.processor_time import cpu_seconds
from qface_client import FaceClient
from qface_client.local import LocalFaceClient

_MODULE = "deploy.benchmark.local_client"
AT_A_TIME = (1, 16)


def measure(
    client: FaceClient, photos: Sequence[Path], *, concurrency: int, pids: Sequence[int]
) -> dict[str, float]:
    """One pass over the photos: wall seconds and processor seconds of these processes, a photo."""
    before, began = cpu_seconds(*pids), time.monotonic()
    if concurrency == 1:
        faces = sum(len(client.analyze(photo)) for photo in photos)
    else:
        faces = sum(len(result.faces) for result in client.analyze_many(photos, concurrency=concurrency))
    took, spent = time.monotonic() - began, cpu_seconds(*pids) - before
    return {"seconds": took / len(photos), "core_seconds": spent / len(photos), "faces": faces}


def summary(passes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The medians of the passes."""
    return {
        "core_ms": 1e3 * statistics.median(each["core_seconds"] for each in passes),
        "photos_per_second": statistics.median(1 / each["seconds"] for each in passes),
        "faces": passes[0]["faces"],
    }


def start_seconds(make: Callable[[], FaceClient], photo: Path) -> float:
    """Until a new client has its first answer."""
    began = time.monotonic()
    with make() as client:
        client.analyze(photo)
    return time.monotonic() - began


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = parser_of(_MODULE, __doc__, repository=True, rounds=3)
    options.add_argument("--photos", type=count, default=60, help="(default: %(default)s)")
    options.add_argument("--out", type=Path, help="a JSON file to write")
    return options


@command("local_client", EmbeddedServerError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table; status 2 where nothing could be measured."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(words)
    settings = {"photos": options.photos, "rounds": options.rounds, "load_average": os.getloadavg()[0]}
    header = about(options.repository, module=_MODULE, arguments=words, settings=settings)
    rows = dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="qface-photos-") as folder:
        photos = write_pictures(Path(folder), options.photos)
        first = start_seconds(lambda: LocalFaceClient(options.repository), photos[0])
        with (
            GatewayServer(options.repository) as server,
            FaceClient(server.grpc_address) as remote,
            LocalFaceClient(options.repository) as local,
        ):
            own = os.getpid()
            pids = [own, server.supervisor_pid, *processes_below(server.supervisor_pid)]
            clients = {"local": (local, [own]), "served": (remote, pids)}
            for concurrency in AT_A_TIME:
                passes: dict[str, list[dict[str, float]]] = {name: [] for name in clients}
                for number in range(options.rounds + 1):
                    for name, (client, processes) in clients.items():
                        taken = measure(client, photos, concurrency=concurrency, pids=processes)
                        if number:  # the first pass warms up
                            passes[name].append(taken)
                rows |= {f"{name}, {concurrency} at a time": summary(each) for name, each in passes.items()}
    print("| | core-ms a photo | photos/s | faces |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['core_ms']:.1f} | {row['photos_per_second']:.1f} | {row['faces']:.0f} |")
    print(f"first answer of a new LocalFaceClient: {first:.1f} s")
    if options.out is not None:
        write_json({**header, "rows": rows, "first_answer_seconds": first}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
