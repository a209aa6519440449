"""python -m deploy.web: the page, to try the service with photos of your own, on this machine alone.

Makes the browser's network where it is missing or of old parts, and starts the gateway as
`python -m deploy.gateway --web --standby never` does, with its options; with --browser-only no server at all.
Exit status: as of the gateway; of --browser-only 0 after a signal, 2 where it could not start.
"""

import argparse
import asyncio
import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Sequence

from deploy.gateway.operation.command_line import main as gateway_main
from deploy.gateway.options import MAX_PORT

DEFAULT_PORT = 8000
_HOST = "127.0.0.1"
# Of the gateway: a second Triton, kept ready, is half of a start. A later option of the same name counts.
_WITHOUT_STANDBY = ("--standby", "never")
# Of tritonserver: its warnings and errors are seen all the same.
_QUIET = ("--log-info", "false")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    parser = _parser()
    options, further = parser.parse_known_args(given[:at])
    further += given[at:]
    if options.browser_only and further:
        parser.error(f"--browser-only starts no server, so it takes no {further[0]}: leave it out")
    if not 0 <= options.port <= MAX_PORT:
        parser.error(f"--port is a port, a number from 0 to {MAX_PORT}, not {options.port}")
    if not options.browser_only:
        _say("qface: starting; the page's address follows when photos can be analysed")
    try:
        # In a process of its own, which is gone with its memory when it is done. Where it makes nothing, its
        # reason stands on standard error, and the page is served without.
        subprocess.run([sys.executable, "-m", "deploy.web.bundle", "--quiet"], check=False)
        if options.browser_only:
            return _browser_only(host=options.host, port=options.port)
    except KeyboardInterrupt:
        return 130
    if "--" not in further:
        further += ["--", *_QUIET]
    door = ("--web", "--host", options.host, "--rest-port", str(options.port))
    return gateway_main([*door, *_WITHOUT_STANDBY, *further])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.web",
        description="Serve the page: drop a photo, and see what the network answers of each face.",
        epilog="Other options go to python -m deploy.gateway, and what stands after -- to tritonserver, "
        f"which otherwise gets {' '.join(_QUIET)}.",
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
    return parser


def _browser_only(*, host: str, port: int) -> int:
    # Imported late: the supervisor of a gateway lives without what answers HTTP.
    from deploy.web.browser_only import serve

    try:
        asyncio.run(serve(host=host, port=port, log=_say))
    except OSError as error:
        remedy = (
            "stop what listens there, or choose another port with --port (0 means any free one)"
            if error.errno == errno.EADDRINUSE
            else "choose an address of this machine with --host and a port above 1023 with --port"
        )
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        print(f"qface: the page can't be served at {host}:{port} ({reason}): {remedy}", file=sys.stderr)
        return 2
    return 0


def _say(sentence: str) -> None:
    """A line at once, as whoever waits for the address reads a pipe; a closed one does not matter."""
    with contextlib.suppress(OSError, ValueError):
        print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
