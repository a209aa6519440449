"""python -m deploy.web: the page, to try the service with photos of your own, on this machine alone.

Starts the gateway as `python -m deploy.gateway --web` does, and takes its options; with --browser-only no
server at all. Exit status: as of the gateway; of --browser-only 0 after a signal, 2 where it could not start.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence

from deploy.gateway.operation.command_line import main as gateway_main
from deploy.web.browser_only import serve

DEFAULT_PORT = 8000
_HOST = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.web",
        description="Serve the page: drop a photo, and see what the network answers of each face.",
        epilog="Other options go to python -m deploy.gateway, and what stands after -- to tritonserver.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help=f"of the page and of REST; 0: any free one (default: {DEFAULT_PORT})",
    )
    parser.add_argument("--host", default=_HOST, help=f"address to listen on (default: {_HOST})")
    parser.add_argument(
        "--browser-only",
        action="store_true",
        help="no server: the page and the network that runs in the browser, and nothing else",
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    options, further = parser.parse_known_args(given[:at])
    if not options.browser_only:
        own = ["--web", "--host", options.host, "--rest-port", str(options.port)]
        return gateway_main([*own, *further, *given[at:]])
    if further or given[at:]:
        parser.error(
            f"--browser-only starts no server, so it takes no {(further or given[at:])[0]}: leave it out"
        )
    if not 0 <= options.port < 2**16:
        parser.error(f"--port is a port, a number from 0 to 65535, not {options.port}")
    try:
        asyncio.run(serve(host=options.host, port=options.port, log=_say))
    except OSError as error:
        print(f"qface: the page can't be served at {options.host}:{options.port}: {error}", file=sys.stderr)
        return 2
    return 0


def _say(sentence: str) -> None:
    """A line at once, as whoever waits for the address reads a pipe; a closed one does not matter."""
    with contextlib.suppress(OSError, ValueError):
        print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
