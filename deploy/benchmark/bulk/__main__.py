"""What `deploy.bulk` makes of a folder beside loops over a client: photos a second, core-ms.

    python -m deploy.benchmark.bulk --out benchmarks/DATE-bulk.json

Every way answers the same small photos with the same tasks, in turns; the medians of the rounds count. Each
is measured whole, with the time until a client is connected or workers are there. As that takes a while,
each answers half of the photos too, and what the other half takes is the rate of a long run.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.benchmark.bulk.ways import BULK_PYTHON, LOOP, WAYS, Job, Pass
from deploy.benchmark.client_bulk.pictures import write_pictures
from deploy.embedded.errors import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.about import about
from deploy.measuring.command import command, count, parser_of
from deploy.measuring.plain_data import write_json
from qface_client import FaceClient, QFaceError

_MODULE = "deploy.benchmark.bulk"

HEADER = (
    "| way | photos/s, whole | photos/s, once it runs | core-ms a photo, once it runs | s until it runs "
    "| times the loop, whole | once it runs |\n|---|---:|---:|---:|---:|---:|---:|"
)


def summary(halves: Sequence[Pass], wholes: Sequence[Pass]) -> dict[str, float]:
    """Of passes over half of the photos and over all of them, one of each a round: the medians.

    What all photos take beyond half of them is what half of them take once everything runs.
    """
    pairs = list(zip(halves, wholes, strict=True))
    more = [whole.photos - half.photos for half, whole in pairs]
    seconds = statistics.median(
        (whole.seconds - half.seconds) / count for (half, whole), count in zip(pairs, more, strict=True)
    )
    core = statistics.median(
        (whole.core_seconds - half.core_seconds) / count
        for (half, whole), count in zip(pairs, more, strict=True)
    )
    whole_seconds = statistics.median(whole.seconds for whole in wholes)
    return {
        "photos": wholes[0].photos,
        "seconds": whole_seconds,
        "photos_per_second": wholes[0].photos / whole_seconds,
        "running_photos_per_second": 1 / seconds,
        "running_core_ms_a_photo": 1e3 * core,
        "core_ms_a_photo": 1e3 * statistics.median(each.core_seconds for each in wholes) / wholes[0].photos,
        "seconds_until_it_runs": whole_seconds - wholes[0].photos * seconds,
    }


def row(name: str, own: dict[str, float], loop: dict[str, float]) -> str:
    """A line of the table."""
    whole, running = (
        own[figure] / loop[figure] for figure in ("photos_per_second", "running_photos_per_second")
    )
    return (
        f"| {name} | {own['photos_per_second']:.1f} | {own['running_photos_per_second']:.1f} "
        f"| {own['running_core_ms_a_photo']:.1f} | {own['seconds_until_it_runs']:.1f} | {whole:.2f} "
        f"| {running:.2f} |"
    )


def _several(text: str) -> int:
    """A number of photos that has a half."""
    number = count(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"2 or more, not {text}")
    return number


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = parser_of(_MODULE, __doc__, repository=True, rounds=3)
    options.add_argument("--photos", type=_several, default=1200, help="(default: %(default)s)")
    options.add_argument("--at-a-time", type=count, default=16, help="of analyze_many (default: %(default)s)")
    options.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    options.add_argument("--tasks", help="names, separated by commas (default: all that the server answers)")
    options.add_argument("--out", type=Path, help="a JSON file to write")
    return options


@command("bulk", EmbeddedServerError, QFaceError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table; status 2 where nothing could be measured."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(words)
    if not BULK_PYTHON.exists():
        raise ValueError("there is no .venv-bulk: make .venv-bulk")
    ways = dict.fromkeys((LOOP, *options.ways))  # the loop is always one of them
    settings = {
        "photos": options.photos,
        "rounds": options.rounds,
        "at_a_time": options.at_a_time,
        "load_average": os.getloadavg()[0],
    }
    header = about(options.repository, module=_MODULE, arguments=words, settings=settings)
    passes: dict[str, tuple[list[Pass], list[Pass]]] = {name: ([], []) for name in ways}
    with (
        tempfile.TemporaryDirectory(prefix="qface-photos-") as folder,
        GatewayServer(options.repository) as server,
    ):
        with FaceClient(server.grpc_address) as client:
            tasks = options.tasks.split(",") if options.tasks else client.contract().names
            client.contract().select(tasks)  # UnknownTask before anything is measured
        jobs = []
        for share in ("half", "whole"):
            own = Path(folder) / share
            own.mkdir()
            photos = write_pictures(own, options.photos // 2 if share == "half" else options.photos)
            jobs.append(
                Job(
                    folder=own,
                    photos=photos,
                    tasks=tasks,
                    repository=options.repository,
                    server=server,
                    at_a_time=options.at_a_time,
                )
            )
        WAYS[LOOP](jobs[0])  # warms up the server
        for number in range(1, options.rounds + 1):
            for name in ways:
                for kept, job in zip(passes[name], jobs, strict=True):
                    kept.append(WAYS[name](job))
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    rows: dict[str, Any] = {name: summary(*both) for name, both in passes.items()}
    print(HEADER)
    for name, figures in rows.items():
        print(row(name, figures, rows[LOOP]))
    if options.out is not None:
        write_json({**header, "tasks": list(tasks), "rows": rows}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
