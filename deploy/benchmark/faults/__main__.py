"""Does every fault of the table to a gateway under its clients' load: `make faults`.

    python -m deploy.benchmark.faults [--quick] [--clients N] [--only WORD ...]

Writes a Markdown table: of each fault how the clients' requests ended meanwhile, their p50 and p99, and the
seconds until all was whole again. The table's file is written anew after each fault. The status is 1 when a
request was lost or answered wrongly, or something else was not as it should be.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.benchmark.faults import dead_processes, endings, label_exchange, repositories, resources, traffic
from deploy.benchmark.faults.bare import fates
from deploy.benchmark.faults.fault import Fault
from deploy.benchmark.faults.stage import DEADLINE, Stage
from deploy.benchmark.faults.table import Row, machine, table
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.measuring.command import parser_of
from deploy.measuring.pictures.portrait import PORTRAIT


def all_faults(repository: Path, *, quick: bool) -> Iterator[Fault]:
    """Every fault, those that share a gateway one after the other."""
    yield from dead_processes.faults(repository, quick=quick)
    yield from repositories.faults()
    yield from label_exchange.faults()
    yield from traffic.faults()
    yield from endings.faults()
    yield from resources.faults()


def chosen(faults: Iterator[Fault], words: Sequence[str]) -> list[Fault]:
    """The faults with one of these words in their names; without words all but those that take long."""
    return [
        fault
        for fault in faults
        if (any(word in fault.name for word in words) if words else not fault.only)
        and (not fault.only or fault.only in words)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("deploy.benchmark.faults", __doc__, repository=True)
    parser.add_argument("--quick", action="store_true", help="each fault in its short form")
    parser.add_argument("--clients", type=int, default=8, help="how many send requests meanwhile")
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="WORD",
        help="words of the faults' names; default: all but `leaving`, whose thousands of clients take long",
    )
    parser.add_argument("--list", action="store_true", help="only print the faults' names")
    parser.add_argument("--times", type=int, default=1000, help="how many clients leave each ensemble")
    parser.add_argument(
        "--standby", default="never", help="whether gateways keep a second Triton: auto, always, never"
    )
    parser.add_argument(
        "--bare", action="store_true", help="what some of it does to Triton without the gateway"
    )
    parser.add_argument("--table", type=Path, default=PROJECT / "var" / "faults.md", help="where it goes")
    parser.add_argument("--log", type=Path, default=PROJECT / "var" / "faults-server.log")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    faults = chosen(all_faults(options.repository, quick=options.quick), options.only)
    if options.list:
        print("\n".join(fault.name for fault in faults))
        return 0
    options.log.parent.mkdir(exist_ok=True)
    if options.bare:
        try:
            for name, fate in fates(options.repository, times=options.times).items():
                print(f"{name}: {fate}")
        except EmbeddedServerError as error:
            print(f"faults: {error}", file=sys.stderr)
            return 2
        return 0
    head = (
        f"{machine()}; {options.clients} clients, each request with {DEADLINE:.0f} s; "
        f"a standby Triton, where nothing else is named: {options.standby}"
    )
    rows: list[Row] = []
    began = time.monotonic()
    with (
        options.log.open("w") as sink,
        Stage(
            options.repository,
            photo=PORTRAIT.read_bytes(),
            log=sink,
            clients=options.clients,
            quick=options.quick,
            times=options.times,
            arguments=["--standby", options.standby],
        ) as stage,
    ):
        try:
            for row in stage.rows(faults):
                rows.append(row)
                minutes, seconds = divmod(int(time.monotonic() - began), 60)
                print(
                    f"[{len(rows)}/{len(faults)} {minutes}:{seconds:02}] {row.fault}: {row.summary} "
                    f"{row.note} {row.remark}".strip(),
                    file=sys.stderr,
                    flush=True,
                )
                options.table.write_text(f"{head}\n\n{table(rows)}\n")
        except KeyboardInterrupt:  # what was not done makes the status 1
            print("faults: interrupted; the table has what was done", file=sys.stderr)
    if rows:
        print(options.table.read_text())
    elif not faults:
        print("no fault has such a name: --list prints them", file=sys.stderr)
    return 1 if any(row.bad for row in rows) or len(rows) < len(faults) or not rows else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it in order, as Ctrl-C does
    sys.exit(main())
