"""python -m deploy.embedded: serve the assembled repository until Ctrl-C or SIGTERM.

Exit status: 0 after an ordered stop, 1 when the server ended by itself, 2 when it could not start.
"""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.assembled_repository import precisions_served
from deploy.embedded.environment import PROJECT
from deploy.embedded.errors import CannotStart, EmbeddedServerError, StartCancelled
from deploy.embedded.host_check import check_host
from deploy.embedded.installations import triton_in
from deploy.embedded.installations.wheel import check_interpreter
from deploy.embedded.server import EmbeddedServer

REPOSITORY = PROJECT / "var" / "repository"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m deploy.embedded",
        description="Serve the assembled model repository with a Triton server: on this machine's CPU, or "
        "with --triton on its GPUs where the repository has an engine for them.",
        epilog="What stands after -- goes to tritonserver as it is.",
    )
    command_line.add_argument("--repository", type=Path, default=REPOSITORY, help="default: var/repository")
    command_line.add_argument(
        "--check",
        action="store_true",
        help="only say whether this machine and this Python can run the server, with nothing installed",
    )
    command_line.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    for use, port in (("grpc", 8001), ("metrics", 8002)):
        command_line.add_argument(
            f"--{use}-port", type=_port, default=port, metavar="N", help=f"default: {port}; 0: any free one"
        )
    command_line.add_argument(
        "--http-port",
        type=_port,
        metavar="N",
        help="speak HTTP too, on this port; 0: any free one (default: no)",
    )
    command_line.add_argument(
        "--triton",
        type=Path,
        metavar="FOLDER",
        help="an installed Triton, as /opt/tritonserver (default: that of the wheel nvidia-pytriton)",
    )
    command_line.add_argument(
        "--python", type=Path, help="the Python that carries the models (default: .venv-serve's)"
    )
    command_line.add_argument(
        "--cache", type=Path, help="folder for a runnable copy of the server (default: var)"
    )
    command_line.add_argument("--log", type=Path, help="file for the server's log (default: standard error)")
    command_line.add_argument("--ready-file", type=Path, help="exists while requests are welcome, for probes")
    command_line.add_argument(
        "--start-timeout",
        type=float,
        default=180.0,
        metavar="S",
        help="time to get ready in (default: 180)",
    )
    command_line.add_argument(
        "--drain-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="go on answering for so long after the first signal, with the ready file gone, so that a "
        "balancer can turn to others (default: 0); a second signal cuts it short",
    )
    command_line.add_argument(
        "--grace-seconds", type=float, default=20.0, metavar="S", help="from SIGTERM to SIGKILL (default: 20)"
    )
    return command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for what it returns."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    own, further = (given, []) if "--" not in given else _split(given)
    options = parser().parse_args(own)
    if options.check:
        try:
            check_host()
            # Of the Python that runs this, into which the server is about to be installed.
            check_interpreter(options.python or Path(sys.executable))
        except CannotStart as error:
            return _fail(str(error), status=2)
        return 0
    from deploy.ready_file import (  # late, because `--check` runs before anything is installed
        ReadyFile,
        unwritable,
    )

    stop, hurry = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    with contextlib.ExitStack() as stack:
        try:
            log = stack.enter_context(options.log.open("a")) if options.log else sys.stderr
        except OSError as error:
            return _fail(f"the log {options.log} can't be written: {error.strerror}", status=2)
        ready = ReadyFile(options.ready_file)
        try:
            ready.prepare()
        except CannotStart as error:
            return _fail(str(error), status=2)
        server = EmbeddedServer(
            options.repository,
            host=options.host,
            grpc_port=options.grpc_port,
            http_port=options.http_port,
            metrics_port=options.metrics_port,
            triton=options.triton,
            python=options.python,
            cache=options.cache,
            log=log,
            log_prefix="" if options.log else "triton | ",
            start_timeout=options.start_timeout,
            grace=options.grace_seconds,
            arguments=further,
        )
        stack.callback(server.stop)
        began = time.monotonic()
        try:
            server.start(cancel=stop, announce=_announce)
            took = time.monotonic() - began
            serves_gpus = triton_in(options.triton).serves_gpus
            for line in precisions_served(options.repository, serves_gpus=serves_gpus):
                print(f"qface: {line}", file=sys.stderr, flush=True)
            _log(f"ready: {len(server.models)} models after {took:.1f} s; Ctrl-C stops the server")
            stack.callback(ready.remove)
            try:
                ready.write(server.grpc_address)
            except OSError as error:
                return _fail(unwritable(options.ready_file, error), status=2)
            while not stop.wait(0.2):
                server.wait(timeout=0)
            ready.remove()
            if options.drain_seconds > 0:
                _log(f"draining for {options.drain_seconds:g} s")
                hurry.wait(options.drain_seconds)
            _log("stopping")
            server.stop()
            _log("stopped")
        except StartCancelled:
            _log("stopped before it was ready")
        except CannotStart as error:
            return _fail(str(error), status=2)
        except EmbeddedServerError as error:
            return _fail(str(error), status=1)
    return 0


def _announce(server: EmbeddedServer) -> None:
    http = f"HTTP {server.http_address}, " if server.speaks_http else ""
    _log(
        f"loading {len(server.models)} models: gRPC {server.grpc_address}, {http}"
        f"metrics http://{server.metrics_address}/metrics"
    )


def _log(sentence: str) -> None:
    print(f"qface: {sentence}", flush=True)


def _fail(sentence: str, *, status: int) -> int:
    print(f"qface: {sentence}", file=sys.stderr, flush=True)
    return status


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return number


def _split(given: list[str]) -> tuple[list[str], list[str]]:
    at = given.index("--")
    return given[:at], given[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
