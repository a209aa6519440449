"""The queueing model beside this machine's server: latencies at 50 % and 80 % of its capacity.

    python -m deploy.capacity.validate                      # on a machine that does nothing else; 5 minutes
    python -m deploy.capacity.validate --seconds 60 --json var/validation.json
    sudo python -m deploy.capacity.validate --real-time     # on a busy one: bursts that come before all else

The model is fed with what one client and 16 clients show (processor time by process, how the latencies of the
one differ, what all else takes of the cores), and with nothing that was measured at 50 % or 80 %. Requests
then arrive by themselves, in three runs of each load, in turns. The prediction is for the same arrivals: a
few hundred random ones have a p99 of their own, which shows nothing of the model.

It holds where p50 and mean are within 20 % of the measured ones and p99 lies within the spread of the runs.
The exit status is 0 then, 1 where it does not hold, and 2 with one sentence where nothing can be measured.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.capacity.measured import Measured
from deploy.capacity.queueing.loads import replayed
from deploy.capacity.trials import ALONE, FULL, Trial, Trials, load_of, trials
from deploy.capacity.verdicts import Comparison, compare, table
from deploy.embedded import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.generator import GeneratorError
from deploy.measuring.about import run_header, served_here
from deploy.measuring.command import command, parser_of
from deploy.measuring.plain_data import write_json
from qface_client.measuring.percentiles import SHARES, percentile

MODULE = "deploy.capacity.validate"
LOADS = (0.5, 0.8)
_REPLAYS = 10  # of each run's arrivals, with other service times
_WARM_UP_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
    """One kind of request."""

    kind: str
    measured: Measured
    comparisons: Sequence[Comparison]


def validate(
    of: Trials,
    kind: str,
    *,
    loads: Sequence[float],
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> Validation:
    """Measures, and predicts; ValueError where nothing was answered."""

    def run(name: str, load: float | None = None, rate: float = 0.0) -> Trial:
        trial = of.run(
            {"1 client": ALONE, "16 clients": FULL}.get(name) or load_of(rate, load or 1.0), seconds
        )
        mean = 1e3 * trial.latency.mean()
        progress(f"{kind}, {name}: {len(trial.latency)} answers, {trial.rate:.1f}/s, mean {mean:.1f} ms")
        return trial

    of.run(FULL, _WARM_UP_SECONDS)
    pairs = [(run("1 client"), run("16 clients")) for _ in range(rounds)]
    measured = of.measured([alone for alone, _ in pairs], [many for _, many in pairs])
    runs: dict[float, list[Trial]] = {load: [] for load in loads}
    for _ in range(rounds):
        for load in loads:
            runs[load].append(run(f"{load:.0%} of capacity", load, measured.rate))
    times = measured.service_times()
    progress(f"{kind}: all else took {measured.others:.1%} of the cores while 16 clients called")
    found = []
    for load, of_load in runs.items():
        outcomes = [
            replayed(times, trial.arrivals, seed=seed) for trial in of_load for seed in range(_REPLAYS)
        ]
        found.append(
            Comparison(
                kind=kind,
                load=load,
                rate=load * measured.rate,
                verdicts=compare(
                    [trial.latency for trial in of_load],
                    [outcome.seconds for outcome in outcomes],
                ),
                refused=(
                    sum(trial.unanswered for trial in of_load),
                    sum(outcome.offered - len(outcome.seconds) for outcome in outcomes) / _REPLAYS,
                ),
            )
        )
    return Validation(kind=kind, measured=measured, comparisons=found)


@command("validate", EmbeddedServerError, GeneratorError)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of(MODULE, __doc__, repository=True, rounds=3, seconds=10.0, seconds_of="of each load")
    parser.add_argument(
        "--mix",
        nargs="+",
        default=["photo", "crop"],
        metavar="KIND",
        help="requests, each measured alone, as `python -m deploy.loadtest --mix` takes them",
    )
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="shares of the capacity")
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="before all other processes, which stand still for the length of each load; needs root",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures are kept")
    options = parser.parse_args(arguments)
    if options.seconds > 3600 or not all(0 < load < 1 for load in options.loads):
        parser.error("--seconds are 3600 at most, --loads lie between 0 and 1")
    with GatewayServer(options.repository) as server:
        found = []
        for kind in options.mix:
            with trials(server, options.repository, kind, real_time=options.real_time) as of:
                found.append(
                    validate(
                        of,
                        kind,
                        loads=options.loads,
                        rounds=options.rounds,
                        seconds=options.seconds,
                        progress=lambda line: print(line, file=sys.stderr, flush=True),
                    )
                )
    comparisons = [each for validation in found for each in validation.comparisons]
    if options.json is not None:
        about = run_header(module=MODULE, arguments=arguments) | {"served": served_here(options.repository)}
        write_json(about | {"kinds": [_plain(each) for each in found]}, options.json)
    print(table(comparisons))
    return 0 if all(each.kept for each in comparisons) else 1


def _plain(validation: Validation) -> dict[str, object]:
    plain = dataclasses.asdict(validation)
    latency = plain["measured"].pop("latency")
    plain["measured"]["unloaded_seconds"] = [percentile(latency, share) for share in SHARES]
    for kept, comparison in zip(plain["comparisons"], validation.comparisons, strict=True):
        kept["kept"] = comparison.kept
    return plain


if __name__ == "__main__":
    sys.exit(main())
