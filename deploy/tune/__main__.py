"""Finds the settings that suit this machine: `make tune`, or `python -m deploy.tune`.

Measures what var/repository serves: first the engine alone, then servers under the load of many clients, one
setting after the other. Each takes turns with the best so far, and is taken if it answers more, or as much
for less processor time. Writes a file for `make serve SETTINGS=FILE`, with the reason of each choice beside
it. Starts servers of its own, at most two at a time, and changes nothing of what is served. Let nothing else
run meanwhile. docs/performance.md describes the keys.
"""

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from build.backends import default_backend, servable_backend
from build.errors import BuildError
from build.files import replace_file
from build.machine import usable_cores
from build.manifest import read_manifest
from build.serving.host_settings import read_settings
from build.serving_plan import ServingPlan, recorded_plan
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.measuring.about import about
from deploy.measuring.command import command, parser_of, positive
from deploy.measuring.workers import WorkerError
from deploy.tune.bare_engine import sweep, worth_serving
from deploy.tune.descent import NotMeasured, confirmed, descend, reasons
from deploy.tune.knobs import FACE, PHOTO, forms, knobs
from deploy.tune.record import Run, table
from deploy.tune.served import Load, Servers

Log = Callable[[str], None]

_TRIALS_SHARE = 0.9  # of the time; then what was taken is compared with the start


@command("tune", BuildError, EmbeddedServerError, WorkerError)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    options = _parser().parse_args(arguments)
    words = list(sys.argv[1:] if arguments is None else arguments)
    log = functools.partial(print, file=sys.stderr, flush=True)
    run = _tune(options, words, log)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    why = reasons(run.trials, run.chosen, not_confirmed=run.chosen != run.taken)
    text = run.chosen.to_toml(why)
    replace_file(options.output, text.encode())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(run.to_json(), indent=1) + "\n")
    print(table(run))
    log(f"wrote {options.output}: `make serve SETTINGS={options.output}` serves with it from now on")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "deploy.tune", __doc__, repository=True, rounds=5, seconds=1.5, seconds_of="of a side in a round"
    )
    parser.add_argument(
        "--minutes", type=positive, default=10.0, help="after which no further setting is tried (default: 10)"
    )
    parser.add_argument("--output", type=Path, default=PROJECT / "var" / "settings.toml")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the whole run is kept")
    return parser


def _tune(options: argparse.Namespace, words: Sequence[str], log: Log) -> Run:
    last_trial = time.monotonic() + _TRIALS_SHARE * 60 * options.minutes
    plan, cores = _plan(options.repository), usable_cores()
    start = read_settings(plan.host_settings, device="cpu", cores=cores)
    measured_with = {name: getattr(options, name) for name in ("minutes", "rounds", "seconds")}
    header = {
        **about(options.repository, module="deploy.tune", arguments=words, settings=measured_with),
        "load_before": os.getloadavg()[0],
    }
    bare = sweep(options.repository, forms(cores), rounds=3, seconds=options.seconds / 3, progress=log)
    load = Load.for_cores(cores, rounds=options.rounds, seconds=options.seconds)
    with Servers(plan, load) as servers:
        settings, trials = descend(
            start,
            knobs(cores, engine_forms=worth_serving(forms(cores), bare)),
            servers.compare,
            time_left=lambda: time.monotonic() < last_trial,
            progress=log,
        )
        checks = {}
        for workload in (FACE, PHOTO) if settings != start else ():
            try:
                checks[workload] = servers.compare(start, settings, workload)
                log(f"{workload}: all that was taken against the start: {checks[workload].reason}")
            except NotMeasured as error:
                log(f"{workload}: all that was taken against the start: not measured, {error}")
    return Run(
        about=header,
        bare=tuple(bare),
        trials=tuple(trials),
        checks=checks,
        start=start,
        taken=settings,
        chosen=settings if confirmed(checks.values()) else start,
    )


def _plan(repository: Path) -> ServingPlan:
    """What is served; ValueError where its settings can't be measured here."""
    engine = read_manifest(repository)["stages"]["engine"]
    if servable_backend(engine["target"]).device != "cpu":
        raise ValueError(
            f"{repository} serves an engine of a GPU, whose settings are not measured here: assemble one "
            f"with --target {default_backend('cpu').name}"
        )
    plan = recorded_plan(repository)
    if engine.get("settings", {}).get("threads") or plan.threads:
        raise ValueError(
            f"{repository} serves an engine with --threads, which go before those of any settings: "
            "assemble or build it without"
        )
    return plan


if __name__ == "__main__":
    sys.exit(main())
