"""Kills, drains, slows and cuts off one of several services under load, by each way of balancing.

    python -m deploy.benchmark.several_services [--services N] [--only WORD ...] [--ways WORD ...]

Each service is a gateway with its Triton; as root each has a network namespace of its own, else all are on
loopback, where none can be cut off. Of each round the table has how the requests of FaceClients ended, whose
answers are compared with those of a service that is well, and beside them those of clients that send each
request once. A second table has the throughput of one service and of all. The status is 1 where a FaceClient
got an error or a wrong answer, or a caller over REST, who sends each photo once.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.benchmark.faults.table import machine
from deploy.benchmark.load import End, Load
from deploy.benchmark.several_services import balancers, places, rounds
from deploy.benchmark.several_services.faults import FAULTS
from deploy.benchmark.several_services.service import Service, write_keys
from deploy.benchmark.several_services.traffic import Requests, Way, callers
from deploy.embedded.environment import PROJECT
from deploy.gateway.identity.keys import new_key
from deploy.measuring.command import parser_of
from deploy.measuring.pictures.portrait import PORTRAIT

CLIENT, ENVOY, NGINX = "the client", "Envoy", "nginx"
WAYS = (CLIENT, ENVOY, NGINX)
_INSIDE = "--inside"
# A machine of few cores on which one starts while others answer is slow: no reason to refuse or to repair.
_PATIENT = ("--queue-seconds", "20", "--triton-seconds", "10", "--canary-timeout", "120")
_DOORS = {
    ENVOY: balancers.Doors(host="127.0.0.1", grpc_port=23_001, rest_port=23_000),
    NGINX: balancers.Doors(host="127.0.0.1", grpc_port=23_011, rest_port=23_010),
}
_ADMIN_PORT = 23_002
_THROUGHPUT_SECONDS, _THROUGHPUT_CALLERS = 10.0, 8


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("deploy.benchmark.several_services", __doc__, repository=True)
    parser.add_argument("--services", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="WORD", help="words of what happens, in place of all of it"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="who balances, in place of all")
    parser.add_argument("--table", type=Path, help="a file for the tables")
    parser.add_argument("--log", type=Path, default=PROJECT / "var" / "several-services.log")
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)  # a namespace of its own
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    if places.can_have_namespaces() and not options.inside:
        program = [sys.executable, "-m", __package__ or "", *words, _INSIDE]
        os.execvp("unshare", ["unshare", "--net", "--", *program])
    options.log.parent.mkdir(exist_ok=True)
    faults = [
        fault
        for fault in FAULTS
        if (options.inside or not fault.needs_network)
        and (not options.only or any(word in fault.name for word in options.only))
    ]
    rows: list[rounds.Row] = []
    with _stage(options) as (services, ways):
        requests = Requests(ways[0], photo=PORTRAIT.read_bytes())
        for fault in faults:
            rows += rounds.run(fault, services, ways, requests)
            for row in rows[-len(ways) :]:
                _report(row)
        text = f"{_head(options)}\n\n{rounds.table(rows)}\n"
        if not options.only:
            text += f"\n{_throughput(services, ways, requests)}\n"
    print(text)
    if options.table is not None:
        options.table.write_text(text)
    return 1 if not rows or any(row.bad for row in rows) else 0


@contextlib.contextmanager
def _stage(options: argparse.Namespace) -> Iterator[tuple[Sequence[Service], Sequence[Way]]]:
    """Services that are ready, and the ways to ask them."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(options.log.open("w"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qface-several-")))
        folder.chmod(0o755)  # nginx's workers are another user
        count = options.services
        where = stack.enter_context(places.namespaces(count)) if options.inside else places.loopback(count)
        gateways = [place.doors for place in where]
        urls = {name: doors.grpc for name, doors in _DOORS.items()}
        urls[CLIENT] = ",".join(doors.grpc for doors in gateways)
        ways = [Way(name=name, url=urls[name], key=new_key()) for name in options.ways]
        ways += [
            Way(name=f"{name}, REST", url=_DOORS[name].rest, key=new_key(), rest=True)
            for name in options.ways
            if name in _DOORS
        ]
        keys = write_keys(folder / "keys.toml", {way.key_name: way.key for way in ways})
        services = [
            Service(options.repository, place, log=log, arguments=("--keys", str(keys), *_PATIENT))
            for place in where
        ]
        for (
            service
        ) in services:  # one after the other: a start takes more memory and time than what comes later
            stack.callback(service.stop)
            service.start()
            service.wait_until_ready()
        if ENVOY in options.ways:
            stack.enter_context(
                balancers.envoy(folder, gateways, doors=_DOORS[ENVOY], admin_port=_ADMIN_PORT)
            )
        if NGINX in options.ways:
            stack.enter_context(balancers.nginx(folder, gateways, doors=_DOORS[NGINX]))
        yield services, ways


def _throughput(services: Sequence[Service], ways: Sequence[Way], requests: Requests) -> str:
    """Markdown: crops a second of one service, and of all of them by each way."""
    one = dataclasses.replace(ways[0], url=services[0].place.doors.grpc)
    names = {"one service": one} | {
        f"{len(services)} services, by {way.name}": way for way in ways if not way.rest
    }
    lines = [f"| crops, {_THROUGHPUT_CALLERS} callers | answers a second |", "|---|---:|"]
    for name, way in names.items():
        senders = callers(way, requests.crops, ours=_THROUGHPUT_CALLERS, plain=0, deadline=rounds.DEADLINE)
        with Load(senders, deadline=rounds.DEADLINE) as load:
            load.wait_for(4 * _THROUGHPUT_CALLERS)
            began, before = time.monotonic(), len(load.outcomes)
            time.sleep(_THROUGHPUT_SECONDS)
            outcomes, seconds = load.outcomes[before:], time.monotonic() - began
        answered = sum(outcome.end is End.ANSWERED for outcome in outcomes)
        lines.append(f"| {name} | {answered / seconds:.0f} |")
    return "\n".join(lines)


def _head(options: argparse.Namespace) -> str:
    where = "each in a network namespace of its own" if options.inside else "on loopback"
    load = os.getloadavg()[2]  # other work included: it makes all times longer
    return f"{machine()}, load of the last 15 minutes {load:.0f}; {options.services} services, {where}"


def _report(row: rounds.Row) -> None:
    print(
        f"{row.fault}, by {row.way}: {row.ours.sent} sent, {row.ours.lost} lost, {row.ours.wrong} wrong, "
        f"slowest {row.ours.slowest:.1f} s; sent once: {row.plain.lost} of {row.plain.sent} lost; "
        f"answered by each: {list(row.shares)}",
        *row.errors[:3],
        sep="\n  ",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it in order, as Ctrl-C does
    sys.exit(main())
