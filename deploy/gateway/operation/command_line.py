"""The command line of the gateway: options from the settings' fields, and what each command does."""

import argparse
import contextlib
import dataclasses
import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from build.options import add_option, add_options, from_options
from deploy.embedded import ports
from deploy.embedded.environment import PROJECT
from deploy.embedded.errors import CannotStart
from deploy.embedded.host_check import check_host
from deploy.embedded.installations.wheel import check_interpreter
from deploy.gateway.operation import places
from deploy.gateway.operation.console import fail
from deploy.gateway.operation.failure_reports import fields_of
from deploy.gateway.operation.reports import FAILED, Reporter
from deploy.gateway.operation.state import StateFile
from deploy.gateway.operation.supervisor import ChildCommand, Patience, Supervisor
from deploy.gateway.options import GatewayOptions
from deploy.ready_file import ReadyFile

REPOSITORY = PROJECT / "var" / "repository"
PROGRAM = "python -m deploy.gateway"
# Of gRPC in the main process and further fronts: its older event loop wakes half as many threads for a
# request that is passed on, and takes a tenth less processor time.
GRPC_EVENT_LOOP = ("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
STANDARD_OUTPUT = "-"  # in place of the access log's path
_STOP_MARGIN = 15.0  # seconds for the gateway's own part of a stop


class _Help(argparse.HelpFormatter):
    """Each option's default at the end of its help, where it has one that says something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = (action.help or "").replace("%", "%%")
        if action.default in (None, False, argparse.SUPPRESS) or "default" in text:
            return text
        return f"{text} (default: %(default)s)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeCommand:
    """A command line that serves."""

    options: GatewayOptions
    own: tuple[str, ...]  # the words before --
    check: bool
    direct: bool
    parent: int | None  # descriptors; see reports.py
    reports: int | None
    restarts: int  # of the main process, before this one


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0 after an ordered stop, 1 if what ran ended by itself, 2 if it could not start."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given and given[0] in COMMANDS else ("serve", given)
    return COMMANDS[command](rest)


def serve_parser() -> argparse.ArgumentParser:
    """The options of `serve`: those of GatewayOptions, in the groups of its parts."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [serve] [options] [-- options of tritonserver]\n"
        f"       {PROGRAM} {{status,swap,rollback,reload,keys}} ... (each with its own --help)",
        description="Serve the assembled model repository: a gateway, and behind it a Triton server: on this "
        "machine's CPU, or with --triton on its GPUs where the repository has an engine for them.",
        epilog="What stands after -- goes to tritonserver as it is.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--repository", type=Path, default=REPOSITORY, help="an assembled one (default: var/repository)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only test whether this machine and this Python can run the server, with nothing installed",
    )
    parser.add_argument(
        "--direct",
        action="store_true",
        help="Triton alone, without the gateway, for comparison: on loopback, its metrics at --http-port",
    )
    for hidden in ("--parent", "--reports", "--restarts"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)
    parts = {
        field.name: field
        for field in dataclasses.fields(GatewayOptions)
        if field.default_factory is not dataclasses.MISSING
    }
    add_options(parser, GatewayOptions, without=("repository", *parts))
    for field in parts.values():
        part = field.default_factory
        about = (part.__doc__ or "").partition("\n")[0]
        group = parser.add_argument_group(field.name, about)
        add_options(group, part)  # type: ignore[arg-type]
    return parser


def parse_serve(arguments: Sequence[str]) -> ServeCommand:
    """The command of these words; ends the program with status 2 and a sentence where they can't be."""
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    own, further = tuple(arguments[:at]), tuple(arguments[at + 1 :])
    parser = serve_parser()
    parsed = parser.parse_args(own)
    try:
        options = from_options(GatewayOptions, parsed, repository=parsed.repository, triton_arguments=further)
    except ValueError as error:
        parser.error(str(error))
    if parsed.direct and options.web:
        parser.error("--web is the gateway's, and --direct leaves it out: leave out one of them")
    return ServeCommand(
        options=options,
        own=own,
        check=parsed.check,
        direct=parsed.direct,
        parent=parsed.parent,
        reports=parsed.reports,
        restarts=parsed.restarts or 0,
    )


def serve(arguments: Sequence[str]) -> int:
    """Serves until a signal."""
    command = parse_serve(arguments)
    options = command.options
    try:
        if command.check:
            check_host()
            # Of the Python that runs this, into which the server is about to be installed.
            check_interpreter(options.python or Path(sys.executable))
            return 0
        if command.direct:
            return _direct(command)
        os.umask(0o077)  # logs, regions of shared memory and sockets are this user's alone
        _without_core_files()
        if options.log is not None:
            _check_writable(options.log, "the log")
        if options.access_log is not None and str(options.access_log) != STANDARD_OUTPUT:
            _check_writable(options.access_log, "the access log")
        control = places.control_socket(options.control, repository=options.repository)
        places.check_unused(control)  # before anything that belongs to that one is removed
        ready = ReadyFile(options.ready_file)
        ready.prepare()
        state = StateFile(places.state_file(control))
        rest = None if options.no_rest else options.rest_port
        wanted = ports.Ports(grpc=options.grpc_port, http=options.http_port, rest=rest)
        settled = ports.settle(wanted, host=options.host)
    except CannotStart as error:
        Reporter(command.parent).send(FAILED, **fields_of(error))
        return fail(str(error), status=2)
    numbers = {"--grpc-port": settled.grpc, "--http-port": settled.http}
    if settled.rest is not None:
        numbers["--rest-port"] = settled.rest
    further = ("--", *options.triton_arguments) if options.triton_arguments else ()

    def main_process(descriptor: int, restarts: int) -> Sequence[str]:
        return (
            *(sys.executable, "-m", "deploy.gateway.operation.main_process", *command.own),
            *(word for flag, number in numbers.items() for word in (flag, str(number))),
            *("--control", str(control), "--reports", str(descriptor), "--restarts", str(restarts)),
            *further,
        )

    parent = None
    if command.parent is not None:
        parent = socket.socket(fileno=command.parent)
        parent.setblocking(False)
    supervisor = Supervisor(
        [ChildCommand(name="the gateway", command=main_process)],
        patience=Patience(stop=stop_seconds(options), left_over=options.grace_seconds + _STOP_MARGIN),
        parent=parent,
        on_end=lambda _name: ready.remove(),
        hang_up_ends=sys.stdin is not None and sys.stdin.isatty(),
    )
    with contextlib.ExitStack() as stack:
        # The ports stay ours while the processes that listen on them are started again.
        for port in (settled.grpc, settled.rest):
            if port is not None:
                stack.enter_context(_held(options.host, port))
        state.remove()  # of another run
        os.environ.setdefault(*GRPC_EVENT_LOOP)  # for the processes that are started from here
        stack.callback(state.remove)
        return supervisor.run()


def _without_core_files() -> None:
    """They would hold pictures. With 1 byte, unlike 0, a program that collects them gets none either."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def stop_seconds(options: GatewayOptions) -> float:
    """The longest that a gateway takes to end after a signal; then what is left of it is killed."""
    return options.drain_seconds + options.grace_seconds + _STOP_MARGIN


def _held(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen: others of this user that share the port can listen."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with contextlib.suppress(OSError):  # taken meanwhile: the process that listens names it
        held.bind((host, port))
    return held


def _direct(command: ServeCommand) -> int:
    """Becomes `python -m deploy.embedded` with the same settings; CannotStart off loopback."""
    from deploy.gateway.identity.exposure import is_loopback  # brings gRPC, which a supervisor lives without

    options = command.options
    if not is_loopback(options.host):
        raise CannotStart(
            f"--direct puts Triton itself before clients and serves this machine alone, not {options.host}: "
            "leave out --direct, or use --host 127.0.0.1"
        )
    words = [
        *("--repository", str(options.repository), "--host", options.host),
        *("--grpc-port", str(options.grpc_port), "--metrics-port", str(options.http_port)),
        *("--http-port", str(options.rest_port if options.http_port else 0)),
        *("--start-timeout", str(options.start_timeout), "--grace-seconds", str(options.grace_seconds)),
    ]
    for flag, path in (
        ("--triton", options.triton),
        ("--python", options.python),
        ("--cache", options.cache),
        ("--log", options.log),
        ("--ready-file", options.ready_file),
    ):
        words += [] if path is None else [flag, str(path)]
    further = ["--", *options.triton_arguments] if options.triton_arguments else []
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "deploy.embedded", *words, *further])


def _check_writable(path: Path, what: str) -> None:
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise CannotStart(f"{what} {path} can't be written: {error.strerror}; name another place") from error


# -- commands to a gateway that runs ------------------------------------------------------------------


def _client_parser(command: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {command}", description=about, formatter_class=_Help, allow_abbrev=False
    )
    parser.add_argument(
        "--repository",
        type=Path,
        default=REPOSITORY,
        help="what the gateway was started with (default: var/repository)",
    )
    add_option(parser, GatewayOptions, "control")
    return parser


def _call(parsed: argparse.Namespace, method: str, **arguments: Any) -> int:
    # Imported late: to serve, none of it is needed in the supervisor.
    from deploy.gateway.operation.control import ControlError, call, shown

    try:
        path = places.control_socket(parsed.control, repository=parsed.repository)
        answer = call(path, method, **arguments)
    except CannotStart as error:
        return fail(str(error), status=2)
    except ControlError as error:
        return fail(str(error), status=error.status)
    print(shown(answer))
    return 0 if answer.get("ready", True) else 1


def status(arguments: Sequence[str]) -> int:
    """What runs, and whether it is well, as JSON; status 1 while requests are not welcome."""
    about = "What the gateway serves, by which processes, and whether it is well, as JSON."
    parser = _client_parser("status", f"{about} Exit status 1: requests are not welcome now.")
    return _call(parser.parse_args(arguments), "status")


def swap(arguments: Sequence[str]) -> int:
    """Serves another repository from now on, without a lost request."""
    parser = _client_parser(
        "swap",
        "Start a Triton on another repository beside the one that serves, and let it take over once it has "
        "answered its canaries. A repository that fails changes nothing.",
    )
    parser.add_argument(
        "new", nargs="?", type=Path, metavar="REPOSITORY", help="default: --repository, as it is now"
    )
    parsed = parser.parse_args(arguments)
    return _call(parsed, "swap", repository=str((parsed.new or parsed.repository).absolute()))


def rollback(arguments: Sequence[str]) -> int:
    """Serves again what was served before the last swap."""
    parser = _client_parser("rollback", "Serve again what was served before the last swap.")
    return _call(parser.parse_args(arguments), "rollback")


def reload(arguments: Sequence[str]) -> int:
    """Reads keys and certificates again, and opens the log files anew."""
    parser = _client_parser("reload", "Read keys and certificates again, and open the log files anew.")
    return _call(parser.parse_args(arguments), "reload")


def keys(arguments: Sequence[str]) -> int:
    """Makes, lists and removes API keys."""
    from deploy.gateway.identity.keys_command import main as keys_main

    return keys_main(arguments)


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "serve": serve,
    "status": status,
    "swap": swap,
    "rollback": rollback,
    "reload": reload,
    "keys": keys,
}
