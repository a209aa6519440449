"""How many replicas a rate and an objective want, what they cost, and what breaks first.

    python -m deploy.capacity --rate 500 --slo 200ms --measured var/loadtest/report.json
    python -m deploy.capacity --a-day 1e9 --peak 2.5 --slo "p99<300ms" --measured var/loadtest/report.json
    python -m deploy.capacity --rate 500 --slo 200ms --measured var/loadtest/report.json \\
        --balancing round-robin --reserve 10% --price-per-hour P --currency EUR

report.json is a load test's, of one server with its clients on the same machine, with one client and with
many. A replica is such a server, simulated (`deploy.capacity.queueing`); clients run elsewhere. A minute.

The exit status is 0, 1 where no number of replicas keeps the objective, and 2 with one sentence where
something that is needed was not measured or can't be.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.capacity.cost import SECONDS_OF_DAY, check_price, hours_of_a_million
from deploy.capacity.fleet import Reserve, UnreachableError, fleet_for
from deploy.capacity.limits import balancers, parse_network, replica_limits
from deploy.capacity.measured import measured_of
from deploy.capacity.plan import Plan, plain, text
from deploy.capacity.queueing.loads import BALANCINGS, LESS_BUSY
from deploy.loadtest.objectives import Objective, parse_objective
from deploy.loadtest.results import Run
from deploy.measuring.plain_data import write_json


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        plan = _plan(options)
        if options.json is not None:
            write_json(plain(plan), options.json)
    except UnreachableError as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 2
    print(text(plan))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.capacity", description=str(__doc__).partition("\n")[0]
    )
    rates = parser.add_mutually_exclusive_group(required=True)
    rates.add_argument("--rate", type=float, metavar="R", help="requests a second, at the busiest time")
    rates.add_argument("--a-day", type=float, metavar="N", help="requests a day; see --peak")
    parser.add_argument(
        "--peak", type=float, default=1.0, help="the busiest time's rate over the day's mean (default: 1)"
    )
    parser.add_argument("--slo", required=True, metavar="OBJECTIVE", help="p99<200ms; 200ms is the same")
    parser.add_argument("--measured", type=Path, required=True, metavar="report.json", help="of a load test")
    parser.add_argument(
        "--balancing",
        choices=list(BALANCINGS),
        default=LESS_BUSY,
        help=f"of requests over replicas: {LESS_BUSY} is Envoy's, round-robin that of a single client "
        f"(default: {LESS_BUSY})",
    )
    parser.add_argument(
        "--reserve",
        default="1",
        metavar="N",
        help="replicas that may be lost, or a share as 10%% (default: 1)",
    )
    parser.add_argument("--queue-seconds", type=float, default=0.8, help="the gateway's (default: 0.8)")
    parser.add_argument(
        "--network", default="10gbit", help="of a replica and of a balancer (default: 10gbit)"
    )
    parser.add_argument("--request-bytes", type=float, metavar="B", help="where the report lacks them")
    parser.add_argument("--answer-bytes", type=float, metavar="B", help="where the report lacks them")
    parser.add_argument("--price-per-hour", type=float, metavar="P", help="of a replica; none: hours alone")
    parser.add_argument("--currency", default="", help="of the price")
    parser.add_argument(
        "--gpus", type=int, default=1, help="of a replica whose engine is on GPUs (default: 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are kept")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    mean_rate, rate = _rates(options)
    objective, reserve = _objective(options.slo), _reserve(options.reserve)
    network = parse_network(options.network)
    if options.price_per_hour is not None:
        check_price(options.price_per_hour)
    if options.gpus < 1 or not 0 < options.queue_seconds < float("inf"):
        raise ValueError("a replica has 1 GPU or more, and --queue-seconds is above 0")
    measured = measured_of(Run.read(options.measured))
    request_bytes = _bytes(options.request_bytes, measured.request_bytes)
    answer_bytes = _bytes(options.answer_bytes, measured.answer_bytes)
    times = measured.service_times(queue_seconds=options.queue_seconds).with_clients_elsewhere()
    fleet = fleet_for(times, rate=rate, objective=objective, balancing=options.balancing, reserve=reserve)
    sizes: dict[str, Any] = {"request_bytes": request_bytes, "answer_bytes": answer_bytes, "network": network}
    devices = options.gpus if times.engine.on_device else 0
    return Plan(
        measured=measured,
        times=times,
        fleet=fleet,
        mean_rate=mean_rate,
        limits=replica_limits(times, fleet.lost, **sizes),
        balancers=balancers(rate=rate, **sizes),
        hours=hours_of_a_million(
            replicas=fleet.replicas, mean_rate=mean_rate, cores=times.cores, devices=devices
        ),
        price=options.price_per_hour,
        currency=options.currency,
    )


def _rates(options: argparse.Namespace) -> tuple[float, float]:
    """Requests a second: the mean, and at the busiest time."""
    if not 1 <= options.peak < float("inf"):
        raise ValueError(
            f"--peak {options.peak:g} can't be: the busiest time has 1 time the mean rate or more"
        )
    if options.rate is not None:
        return options.rate / options.peak, options.rate
    mean = options.a_day / SECONDS_OF_DAY
    return mean, mean * options.peak


def _objective(words: str) -> Objective:
    return parse_objective(words if "<" in words else f"p99<{words}")


def _reserve(words: str) -> Reserve:
    number = words.removesuffix("%")
    try:
        if number != words:
            return Reserve(share=float(number) / 100)
        return Reserve(replicas=int(number))
    except ValueError:
        raise ValueError(
            f"{words!r} is no reserve: give a number of replicas as 2, or a share of them as 10%"
        ) from None


def _bytes(given: float | None, known: float) -> float:
    if given is None:
        return known
    if not 0 < given < float("inf"):
        raise ValueError(f"{given:g} bytes are none: give what a request or an answer has")
    return given


if __name__ == "__main__":
    sys.exit(main())
