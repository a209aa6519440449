"""What `analyze_many` makes of thousands of photos whose server is killed and started again meanwhile.

    python -m deploy.benchmark.client_bulk --out benchmarks/DATE-client-bulk.json

A folder of small photos goes through the blocking client as results complete, in the photos' order, and
through the asyncio client, each time over a server whose processes are all killed (SIGKILL) when two of five
results are there. The client is a process of its own, so that its memory and its processor time are. First
a generator of many tiny photos goes through a transport that answers at once.
"""

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.benchmark.client_bulk.pictures import write_pictures
from deploy.benchmark.client_bulk.restarts import KilledServer
from deploy.benchmark.soak.trends import Point, trend
from deploy.embedded.environment import PROJECT
from deploy.embedded.errors import EmbeddedServerError
from deploy.measuring.about import about
from deploy.measuring.command import command, count, parser_of
from deploy.measuring.plain_data import write_json

_MODULE = "deploy.benchmark.client_bulk"
_FEWEST_PLANTED = 10_000
_KILL_AT = 0.4  # of the photos
_WARM_UP = 0.1  # of the photos: what is allocated with them is no growth
_MB = 1e6

RUNS = {
    "as they complete": (),
    "in order": ("--ordered",),
    "asyncio": ("--asyncio",),
}


def lines_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What a client's process prints, as it does."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    if process.wait():
        raise ValueError(f"the client's process ended with status {process.returncode}: see its output")


def run_client(words: Sequence[str], *, at: int = 0, then: Callable[[], Any] = int) -> list[dict[str, Any]]:
    """All lines of a client's process; `then` runs once it has `at` results, and later lines are "after"."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"{_MODULE}.client", *words], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    try:
        lines = list[dict[str, Any]]()
        waiting = at > 0
        for line in lines_of(process):
            lines.append({**line, "after": not waiting})
            if waiting and line["results"] >= at:
                then()
                waiting = False
        return lines
    finally:
        process.kill()
        process.wait()


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A run in short; memory in MB, after the warm-up."""
    last, warm = lines[-1], int(_WARM_UP * lines[-1]["photos"])
    after = [line for line in lines if line["results"] >= warm]
    memory = [line["resident"] / _MB for line in after]
    # What the outage itself takes (other connections, other sentences) is no growth with the photos.
    over_time = trend(
        [
            Point(requests=line["results"], value=line["resident"] / _MB, life=line["after"])
            for line in lines[:-1]
        ],
        settle=warm,
    )
    photos = last["results"] - after[0]["results"]
    return {
        **{name: last[name] for name in ("photos", "answered", "faces", "errors", "sentences")},
        **{name: last[name] for name in ("lost", "twice", "in_order", "seconds", "longest_pause")},
        "photos_per_second": last["results"] / last["seconds"],
        "core_ms_a_photo": 1e3 * (last["core_seconds"] - after[0]["core_seconds"]) / photos,
        "resident_mb": [memory[int(part * (len(memory) - 1) / 4)] for part in range(5)],
        "resident_mb_most": max(memory),
        "resident_kb_per_1000_photos": {
            name: 1e3 * getattr(over_time, name) for name in ("slope", "low", "high")
        },
        "resident_verdict": over_time.verdict.value,
        "resident_mb_by_results": {
            line["results"]: line["resident"] / _MB for line in lines[:: max(1, len(lines) // 50)]
        },
    }


def _many(text: str) -> int:
    """A number of tiny photos that take long enough to be looked at more than once."""
    number = count(text)
    if number < _FEWEST_PLANTED:
        raise argparse.ArgumentTypeError(f"{_FEWEST_PLANTED:,} or more, not {text}")
    return number


def with_restart(server: KilledServer, words: Sequence[str], *, photos: int) -> dict[str, Any]:
    """A run of the client over which the server is killed and started again."""
    outage = queue.SimpleQueue[float | Exception]()

    def restart() -> None:
        try:
            outage.put(server.restart())
        except Exception as error:
            outage.put(error)

    killer = threading.Thread(target=restart)
    lines = run_client(words, at=int(_KILL_AT * photos), then=killer.start)
    killer.join()
    took = outage.get()
    if isinstance(took, Exception):
        raise took
    return {**summary(lines), "seconds_until_ready_again": took}


def report(name: str, run: dict[str, Any]) -> str:
    """A row of the table."""
    memory = " ".join(f"{value:.1f}" for value in run["resident_mb"])
    growth = "{slope:+.1f} ({low:+.1f} to {high:+.1f})".format(**run["resident_kb_per_1000_photos"])
    return (
        f"| {name} | {run['photos']:,} | {run['answered']:,} | {sum(run['errors'].values())} | {run['lost']} "
        f"| {'yes' if run['in_order'] else 'no'} | {run.get('seconds_until_ready_again', 0):.0f} "
        f"| {run['seconds']:.0f} | {run['photos_per_second']:.1f} | {run['core_ms_a_photo']:.2f} "
        f"| {memory} | {growth} | {run['resident_verdict']} |"
    )


HEADER = (
    "| run | photos | answered | errors | lost | in order | s without a server | s | photos/s "
    "| client's core-ms a photo | MB: after a tenth, at the quartiles, at the end "
    "| kB per 1,000 photos (95 %) | |\n"
    "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|---|---|---|"
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = parser_of(_MODULE, __doc__, repository=True)
    options.add_argument("--photos", type=count, default=5000, help="(default: %(default)s)")
    options.add_argument("--planted", type=_many, default=100_000, help="tiny photos (default: %(default)s)")
    options.add_argument("--concurrency", type=count, default=16, help="(default: %(default)s)")
    options.add_argument("--runs", nargs="+", choices=tuple(RUNS), default=tuple(RUNS))
    options.add_argument("--out", type=Path, help="a JSON file to write")
    return options


@command("client_bulk", EmbeddedServerError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Status 1 where a photo was lost or given twice, or came out of order; 2 where nothing was measured."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(words)
    settings = {"concurrency": options.concurrency, "timeout": 60.0, "killed_at": _KILL_AT}
    header = about(options.repository, module=_MODULE, arguments=words, settings=settings)
    concurrency = ("--concurrency", str(options.concurrency))
    runs = dict[str, Any]()

    def keep(name: str, run: dict[str, Any]) -> None:
        runs[name] = run
        print(report(name, run), flush=True)
        if options.out is not None:
            write_json({**header, "runs": runs}, options.out)

    print(HEADER, flush=True)
    for name in options.runs:
        planted = ("--planted", str(options.planted), "--every", "1000", *concurrency, *RUNS[name])
        keep(f"tiny, {name}", summary(run_client(planted)))
    with tempfile.TemporaryDirectory(prefix="qface-photos-") as folder:
        write_pictures(Path(folder), options.photos)
        server = KilledServer(options.repository)
        try:
            for name in options.runs:
                own = ("--address", server.address, "--folder", folder, *concurrency, *RUNS[name])
                keep(name, with_restart(server, own, photos=options.photos))
        finally:
            server.stop()
    for name, run in runs.items():
        for kind, sentence in run["sentences"].items():
            print(f"{name}: {run['errors'][kind]} x {kind}: {sentence}")
    failed = [name for name, run in runs.items() if run["lost"] or run["twice"]]
    failed += [name for name, run in runs.items() if "in order" in name and not run["in_order"]]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
