"""Sends all hostile files and requests to a real server: `make hostile`.

    python -m tests.hostile [--repository DIR] [--only WORD ...] [--doors DOOR ...]

Writes Markdown tables to standard output. The status is 1 when anything was answered wrongly, a process has
died, or the memory of one has grown by more than a second pass over the corpus may cost.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from deploy.benchmark.faults.table import machine
from deploy.benchmark.load import Samples
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from tests.hostile.doors import doors
from tests.hostile.health import Family, resident
from tests.hostile.pictures.corpus import corpus
from tests.hostile.pictures.run import Rows, picture_table, run_pictures
from tests.hostile.protocol.run import protocol_table, run_protocol
from tests.hostile.protocol.variants import target_of, variants

# What a process may have more after a second pass than after the first, in MiB. A model's instance keeps the
# heap of the largest picture that it ever had, and may get that in the second pass only.
GROWTH_MIB = 64
_MIB = 1024 * 1024


class Named(Protocol):
    """A file or a variant."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


T = TypeVar("T", bound=Named)


class Counted(Protocol):
    """What went wrong with some of them, by their names."""

    wrong: dict[str, str]
    crashed: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--log", type=Path, default=PROJECT / "var" / "hostile-server.log")
    parser.add_argument("--only", nargs="+", default=(), help="what has one of these words in name or kind")
    parser.add_argument(
        "--doors", nargs="+", default=(), metavar="DOOR", help="ways in for files; all of them"
    )
    options = parser.parse_args(arguments)

    try:
        return send_everything(options)
    except KeyboardInterrupt:
        print("hostile: interrupted", file=sys.stderr)
        return 130


def send_everything(options: argparse.Namespace) -> int:
    """Prints the tables; the exit status."""

    def chosen(all_of_them: Iterable[T]) -> Iterator[T]:
        for each in all_of_them:
            if not options.only or any(word in f"{each.kind} {each.name}" for word in options.only):
                yield each

    with (
        options.log.open("w") as log,
        GatewayServer(options.repository, log=log, rest_port=0) as gateway,
    ):
        print(f"{machine()}\n", flush=True)
        family = Family(gateway.supervisor_pid)
        samples = Samples(gateway.grpc_address, gateway.models)
        with target_of(gateway.grpc_address, gateway.rest_address, samples) as target:
            kinds = run_protocol(chosen(variants()), target, dead=family.dead)
        print(f"{protocol_table(kinds)}\n", flush=True)
        ways = {
            name: judge
            for name, judge in doors(gateway.grpc_address, gateway.rest_address)
            if name in (options.doors or [name])
        }
        rows: Rows = {}
        memory = []
        for number in (1, 2):
            began = time.monotonic()
            rows.clear()
            run_pictures(chosen(corpus()), ways, dead=family.dead, rows=rows)
            memory.append(resident(family.names))
            print(f"pass {number} took {time.monotonic() - began:.0f} s", file=sys.stderr)
        print(f"{picture_table(rows)}\n")
        before, after = memory
        print(_memory_table(family.names, before, after))
        grown = [name for pid, name in family.names.items() if after[pid] - before[pid] > GROWTH_MIB * _MIB]
        failed = [
            *_failures(kinds),
            *_failures({f"{door}: {kind}": row for (kind, door), row in rows.items()}),
        ]
    print(f"\nGrown by more than {GROWTH_MIB} MiB: {', '.join(grown) or 'none'}.")
    print("\n".join(failed))
    return int(bool(failed or grown))


def _memory_table(names: Mapping[int, str], before: Mapping[int, int], after: Mapping[int, int]) -> str:
    lines = ["| process | MiB after one pass | after two |", "|---|---:|---:|"]
    for pid, name in sorted(names.items(), key=lambda item: item[1]):
        lines.append(f"| {name} | {before[pid] / _MIB:.0f} | {after[pid] / _MIB:.0f} |")
    return "\n".join(lines)


def _failures(counted: Mapping[str, Counted]) -> list[str]:
    """A line for each that ended wrongly, or after which a process was gone."""
    return [
        f"- {kind}: {name}: {what}"
        for kind, each in counted.items()
        for name, what in (*each.wrong.items(), *each.crashed.items())
    ]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it in order, as Ctrl-C does
    sys.exit(main())
