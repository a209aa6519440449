"""The command line of `python -m deploy.loadtest`, as typed data."""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.environment import PROJECT
from deploy.loadtest.command.access import KEY, KEY_FILE, Access
from deploy.loadtest.command.plan import DEFAULT_CLIENTS, Plan
from deploy.loadtest.generator import default_processes
from deploy.loadtest.loads import ARRIVALS, ClosedLoop, OpenLoop
from deploy.loadtest.objectives import parse_objective
from deploy.loadtest.protocols import doors
from deploy.loadtest.requirements import Requirement, parse
from deploy.loadtest.soak import soak_settings
from deploy.loadtest.stage import Settings
from deploy.loadtest.work.options import WorkOptions, add_work_options, work_options

PROGRAM = "python -m deploy.loadtest"
DEFAULT_SOAK_CLIENTS = 4
DEFAULT_OBJECTIVE = "p99<500ms"
MOST_CLIENTS = 65_536  # more connections than a machine has ports
MOST_RATE = 1e6  # more than a machine sends
MOST_MINUTES = 60 * 24 * 31.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """All of a run, checked.

    deadline    seconds of each request
    output      folder of the report
    repository  that a gateway serves which is started for this, where `access` has no address
    peers       whether other tools load the server too, at the end
    rest        REST of the same server, for the tool that calls it; None: that of a gateway that is started
    """

    access: Access
    work: WorkOptions
    plan: Plan
    settings: Settings
    requirements: Sequence[Requirement]
    deadline: float
    processes: int
    seed: int
    output: Path
    repository: Path
    metrics_url: str
    grpc_address: str
    peers: bool
    rest: Access | None


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """The options; ValueError with a sentence for those that can't be, SystemExit for words that are none."""
    given = _parser().parse_args(arguments)
    if not 0 < given.deadline < math.inf:
        raise ValueError(f"--deadline {given.deadline:g} can't be kept: give seconds, above 0")
    if not 1 <= given.processes <= 1024:
        raise ValueError(f"--processes {given.processes} can't be started: give 1 to 1024")
    if given.seed < 0:
        raise ValueError(f"--seed {given.seed} is negative: give 0 or more")
    if parse_objective(given.slo).seconds > given.deadline:
        raise ValueError(
            f"--slo {given.slo} is more than a request may take at all (--deadline {given.deadline:g}): "
            "give a longer --deadline"
        )
    requirements = tuple(parse(text) for text in given.require)
    window = given.window if given.window is not None else min(2.0, given.seconds)
    settings = Settings(seconds=given.seconds, window=window, spread=given.spread, warm_up=given.warm_up)
    plan = _plan(given, requirements)
    if plan.soak:
        soak_settings(settings, plan.soak)  # refused before anything is measured
    return Options(
        access=Access(
            url=given.url,
            protocol=given.protocol,
            key_file=given.key_file,
            insecure_key=given.insecure_key,
            authorities=given.authorities,
            certificate=given.certificate,
            private_key=given.private_key,
        ),
        work=work_options(given),
        plan=plan,
        settings=settings,
        requirements=requirements,
        deadline=given.deadline,
        processes=given.processes,
        seed=given.seed,
        output=given.output,
        repository=given.repository,
        metrics_url=_page(given.metrics_url),
        grpc_address=given.grpc_url.removeprefix("grpc://"),
        peers=given.peers,
        rest=_rest(given),
    )


def _page(address: str) -> str:
    """The URL of the metrics of HOST:PORT, or a URL as it is; "" of none."""
    return address if not address or "://" in address else f"http://{address}/metrics"


def _rest(given: argparse.Namespace) -> Access | None:
    if not given.rest_url:
        return None
    if not given.peers:
        raise ValueError("--rest-url is for --peers: add it, or give --url with --protocol rest")
    return Access(
        url=given.rest_url,
        protocol="rest",
        key_file=given.key_file,
        insecure_key=given.insecure_key,
        authorities=given.authorities,
        certificate=given.certificate,
        private_key=given.private_key,
    )


def _plan(given: argparse.Namespace, requirements: Sequence[Requirement]) -> Plan:
    """The loads that are named, and those that requirements need; without any a sweep and a search."""
    clients = list(given.clients)
    loads = [OpenLoop(rate=rate, arrivals=given.arrivals) for rate in given.rates]
    _check_loads(clients, loads)
    soak_load: ClosedLoop | OpenLoop = ClosedLoop(clients=DEFAULT_SOAK_CLIENTS)
    if given.soak is not None:
        if not 0 < given.soak <= MOST_MINUTES:
            raise ValueError(f"--soak {given.soak:g} can't be: give minutes, up to {MOST_MINUTES:.0f}")
        if len(clients) + len(loads) > 1:
            raise ValueError(
                "--soak is one load for minutes: give one number of --clients, or one of --rates"
            )
        if loads:
            soak_load = loads[0]
        elif clients:
            soak_load = ClosedLoop(clients=clients[0])
        clients, loads = [], []
    elif not (clients or loads or given.search or requirements):
        clients, given.search = list(DEFAULT_CLIENTS), True
    for needed in (requirement.stage_needed() for requirement in requirements):
        if isinstance(needed, ClosedLoop) and needed.clients not in clients:
            clients.append(needed.clients)
        elif isinstance(needed, OpenLoop) and needed not in loads:
            loads.append(needed)
    if not (clients or loads or given.search or given.soak is not None):
        clients = list(DEFAULT_CLIENTS)  # of requirements that any stage answers
    _check_loads(clients, loads)
    return Plan(
        clients=clients,
        rates=loads,
        search=given.search,
        objective=parse_objective(given.slo),
        arrivals=given.arrivals,
        soak=given.soak or 0.0,
        soak_load=soak_load,
    )


def _check_loads(clients: Sequence[int], loads: Sequence[OpenLoop]) -> None:
    for wide in clients:
        if not 1 <= wide <= MOST_CLIENTS:
            raise ValueError(f"--clients {wide} can't be: give 1 to {MOST_CLIENTS}")
    for load in loads:
        if load.rate > MOST_RATE:
            raise ValueError(f"--rates {load.rate:g} can't be sent: give up to {MOST_RATE:.0f} a second")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Loads a V2 server and reports what it bears: docs/loadtest.md."
    )
    _add_server(parser.add_argument_group("the server"))
    _add_loads(parser.add_argument_group("the loads (without any: a sweep, and a search under --slo)"))
    add_work_options(parser)
    _add_peers(parser.add_argument_group("others' tools"))
    _add_measuring(parser.add_argument_group("how it is measured"))
    return parser


def _add_server(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--url",
        default="",
        help="HOST:PORT, grpc://, grpcs://, http:// or https://HOST:PORT "
        "(default: a gateway over --repository is started, and stopped at the end)",
    )
    group.add_argument("--protocol", choices=sorted(doors), help="default: grpc")
    group.add_argument(
        "--key-file",
        type=Path,
        help=f"a file with the API key ({KEY_FILE}, or the key itself in {KEY}); no option takes the key: "
        "other users of a machine can read command lines",
    )
    group.add_argument(
        "--insecure-key", action="store_true", help="send the key unencrypted to another machine"
    )
    group.add_argument(
        "--authorities", type=Path, help="PEM file that the server's certificate is checked by"
    )
    group.add_argument("--certificate", type=Path, help="PEM file of this client's certificate")
    group.add_argument("--private-key", type=Path, help="PEM file of its key")
    group.add_argument(
        "--grpc-url",
        default="",
        metavar="HOST:PORT",
        help="where the models' statistics are, of a gateway that is loaded over rest (default: port 8001)",
    )
    group.add_argument(
        "--metrics-url",
        default="",
        metavar="HOST:PORT",
        help="where the gateway's metrics are, or their URL (default: port 8002 beside 8000 and 8001)",
    )
    group.add_argument(
        "--repository", type=Path, default=PROJECT / "var" / "repository", help="default: var/repository"
    )


def _add_loads(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--clients",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="closed loops of so many clients, one after the other",
    )
    group.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[],
        metavar="R",
        help="open loops of so many requests a second, one after the other",
    )
    group.add_argument(
        "--arrivals", choices=sorted(ARRIVALS), default="poisson", help="of open loops (default: poisson)"
    )
    group.add_argument("--search", action="store_true", help="find the highest rate that keeps --slo")
    group.add_argument(
        "--slo",
        default=DEFAULT_OBJECTIVE,
        metavar="OBJECTIVE",
        help=f"what --search keeps and goodput counts, as p99<200ms (default: {DEFAULT_OBJECTIVE})",
    )
    group.add_argument(
        "--soak", type=float, metavar="MINUTES", help="one load for so long: does anything drift or grow?"
    )
    group.add_argument(
        "--require",
        nargs="+",
        default=[],
        metavar="REQUIREMENT",
        help="as 'p99<200ms@50rps' 'errors<1%%'; the exit status is 1 where one is not kept",
    )


def _add_peers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--peers",
        action="store_true",
        help="then perf_analyzer, MLPerf LoadGen and locust on the same work, beside ours: 15 minutes",
    )
    group.add_argument("--rest-url", default="", help="REST of the server of --url, which locust posts to")


def _add_measuring(group: argparse._ArgumentGroup) -> None:
    stage = Settings()
    group.add_argument(
        "--seconds", type=float, default=stage.seconds, help=f"of each stage (default: {stage.seconds:g})"
    )
    group.add_argument("--window", type=float, help=f"seconds of a window (default: {stage.window:g})")
    group.add_argument(
        "--spread",
        type=float,
        default=stage.spread,
        help=f"of three windows that count as settled (default: {stage.spread:g})",
    )
    group.add_argument(
        "--warm-up",
        type=float,
        default=stage.warm_up,
        help=f"seconds of warm-up at the most (default: {stage.warm_up:g})",
    )
    group.add_argument("--deadline", type=float, default=10.0, help="seconds of a request (default: 10)")
    group.add_argument(
        "--processes",
        type=int,
        default=default_processes(),
        help="of the generator (default: half of the cores)",
    )
    group.add_argument("--seed", type=int, default=0, help="of arrivals and mixes (default: 0)")
    group.add_argument(
        "--output",
        type=Path,
        default=PROJECT / "var" / "loadtest",
        help="folder of the report (default: var/loadtest)",
    )
