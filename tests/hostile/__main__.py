"""Sends all hostile files and requests to a real server: `make hostile`.

    python -m tests.hostile [--repository DIR] [--only WORD ...]

Writes Markdown tables to standard output. The status is 1 when anything was answered wrongly, a process has
died, or the memory of one has grown by more than a second pass over the corpus may cost.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.benchmark.faults.table import machine
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from tests.hostile.doors import doors
from tests.hostile.files import HostileFile
from tests.hostile.health import family, resident
from tests.hostile.picture_run import Rows, failures, picture_table, run_pictures
from tests.hostile.pictures import corpus

# What a process may have more after a second pass than after the first, in MiB: heaps settle at what the
# largest picture has left in them, a leak of one picture a pass is larger.
GROWTH_MIB = 32
_MIB = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--log", type=Path, default=PROJECT / "var" / "hostile-server.log")
    parser.add_argument("--only", nargs="+", default=(), help="files with one of these words in name or kind")
    options = parser.parse_args(arguments)

    def chosen() -> list[HostileFile]:
        return [
            file
            for file in corpus()
            if not options.only or any(word in f"{file.kind} {file.name}" for word in options.only)
        ]

    with options.log.open("w") as log, GatewayServer(options.repository, log=log) as gateway:
        print(f"{machine()}\n", flush=True)
        start = family(gateway.supervisor_pid)
        alive = dict(start)

        def dead() -> str:
            now = family(gateway.supervisor_pid)
            gone = [f"{name} ({pid})" for pid, name in alive.items() if pid not in now]
            for pid in set(alive) - set(now):
                del alive[pid]
            return ", ".join(gone)

        ways = dict(doors(gateway.grpc_address, getattr(gateway, "rest_address", "")))
        rows: Rows = {}
        memory = []
        for _ in range(2):
            began = time.monotonic()
            rows.clear()
            run_pictures(chosen(), ways, dead=dead, rows=rows)
            memory.append(resident(start))
            print(f"a pass took {time.monotonic() - began:.0f} s", file=sys.stderr)
        print(picture_table(rows))
        print("\n".join(failures(rows)))
        print("\n| process | MiB after one pass | after two |\n|---|---:|---:|")
        for pid, name in start.items():
            print(f"| {name} | {memory[0][pid] / _MIB:.0f} | {memory[1][pid] / _MIB:.0f} |")
        grown = [name for pid, name in start.items() if memory[1][pid] - memory[0][pid] > GROWTH_MIB * _MIB]
        print(f"\nGrown by more than {GROWTH_MIB} MiB: {', '.join(grown) or 'none'}.")
        return int(bool(failures(rows) or grown))


if __name__ == "__main__":
    sys.exit(main())
