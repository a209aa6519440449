"""Shows the whole path once: `make demo`, or `python -m deploy.demo [PHOTO...]`.

Starts the gateway and its Triton over the assembled repository, on free ports, sends it the photos with the
client's own command, prints its JSON, and stops both. Needs no torch.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from build.errors import BuildError
from build.serving_plan import shipped_checkpoint
from deploy.embedded import EmbeddedServerError
from deploy.embedded.assembled_repository import precisions_served
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer

PORTRAIT = PROJECT / "tests" / "assets" / "astronaut.jpg"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every photo was answered; else the status of `qface analyze`, 2 without a server, or 130."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", type=Path, default=[PORTRAIT], help="default: a portrait")
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--draw", type=Path, default=PROJECT / "var" / "demo", help="default: var/demo")
    options = parser.parse_args(arguments)
    log = PROJECT / "var" / "demo-server.log"
    log.parent.mkdir(exist_ok=True)
    began = time.time()
    print("starting the gateway and the Triton server ...", file=sys.stderr)
    try:
        for line in precisions_served(options.repository):
            print(line, file=sys.stderr)
        with log.open("w") as sink, GatewayServer(options.repository, log=sink) as server:
            shipped = shipped_checkpoint(options.repository)
            of = f" of {shipped.stem}" if shipped is not None else ""
            print(f"{len(server.models)} models{of} are ready at {server.grpc_address}", file=sys.stderr)
            # As anybody would call it, and in a process of its own.
            status = subprocess.run(
                [
                    *(sys.executable, "-m", "qface_client.cli", "analyze", *map(str, options.photos)),
                    *("--url", server.grpc_address, "--json", "--draw", str(options.draw)),
                ],
                check=False,
            ).returncode
    except (BuildError, EmbeddedServerError) as error:
        print(f"demo: {error} (its log: {log})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the server is stopped by now
        return 130
    if status == 0:
        print(f"drawn into {options.draw}:", file=sys.stderr)
        for path in sorted(options.draw.iterdir()):
            if path.stat().st_mtime >= began:
                print(f"  {path}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
