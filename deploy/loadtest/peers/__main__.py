"""perf_analyzer, MLPerf LoadGen and locust on the same work as our own load, in turns, side by side.

    python -m deploy.loadtest.peers                        a gateway of this machine, started for it
    python -m deploy.loadtest.peers --url HOST:8001 --rest-url HOST:8000
    python -m deploy.loadtest.peers --write-input FOLDER   perf_analyzer's input, no load

It runs in .venv-loadtest. With --report the figures are added to a report of `python -m deploy.loadtest`.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.command.access import Access
from deploy.loadtest.generator import GeneratorError
from deploy.loadtest.objectives import parse_objective
from deploy.loadtest.peers.measuring import (
    DEADLINE,
    GRPC,
    REST,
    ROUNDS,
    SECONDS,
    SLO,
    TOOLS,
    measure_peers,
    peers_work,
)
from deploy.loadtest.peers.outcome import added, summary
from deploy.loadtest.peers.perf_analyzer_input import write_input
from deploy.loadtest.peers.tool import ToolError
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.report import write_report
from deploy.loadtest.results import Run
from deploy.loadtest.work.building import build
from deploy.loadtest.work.options import add_work_options, work_options
from deploy.loadtest.work.question import Question
from deploy.measuring.about import run_header

PROGRAM = "python -m deploy.loadtest.peers"
MEASURED, PARTLY, NOTHING, INTERRUPTED = 0, 1, 2, 130
TIMEOUT = 20.0  # seconds, to describe a server


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every tool measured every load; 1: one did not; 2: nothing was measured; 130: interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    try:
        objective = parse_objective(options.slo)
        run = Run.read(options.report) if options.report else None
        with _served(options) as targets:
            questions = build(
                peers_work(work_options(options)), door=doors[GRPC], target=targets[GRPC]
            ).questions
            if options.write_input:
                return _write_input(questions, targets[GRPC], options.write_input)
            outcome = measure_peers(
                questions,
                targets=targets,
                tools=options.tools,
                seconds=options.seconds,
                rounds=options.rounds,
                slo=objective.seconds,
                deadline=options.deadline,
                progress=lambda line: print(line, file=sys.stderr, flush=True),
            )
    except (EmbeddedServerError, GeneratorError, ToolError, ConnectionError, OSError, ValueError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return NOTHING
    print(f"\n{summary(outcome)}")
    if options.report and run is not None:
        write_report(added(run, outcome), options.report.parent)
    elif options.output:
        header = run_header(module="deploy.loadtest.peers", arguments=words)
        write_report(added(Run(about=header, stages=()), outcome), options.output)
    if outcome.interrupted:
        return INTERRUPTED
    if not outcome.peers:
        return NOTHING
    return PARTLY if outcome.not_measured else MEASURED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    where = parser.add_argument_group("the server: one is started where no --url is given")
    where.add_argument("--url", metavar="HOST:PORT", help="gRPC of a server")
    where.add_argument(
        "--rest-url", metavar="HOST:PORT", help="REST of the same server, which locust posts to"
    )
    where.add_argument(
        "--authorities", type=Path, help="PEM file that the server's certificate is checked by"
    )
    where.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    what = parser.add_argument_group("the loads")
    what.add_argument("--tools", nargs="+", choices=tuple(TOOLS), default=tuple(TOOLS))
    what.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement (%(default)g)")
    what.add_argument("--rounds", type=int, default=ROUNDS, help="of each load, ours in turns (%(default)d)")
    what.add_argument(
        "--slo", default=f"p99<{1e3 * SLO:g}ms", metavar="OBJECTIVE", help="LoadGen's bound (%(default)s)"
    )
    what.add_argument("--deadline", type=float, default=DEADLINE, help="seconds of a request (%(default)g)")
    add_work_options(parser)
    results = parser.add_argument_group("results").add_mutually_exclusive_group()
    results.add_argument(
        "--report", type=Path, metavar="FILE", help="a report.json: what is measured is added to it"
    )
    results.add_argument("--output", type=Path, metavar="FOLDER", help="where a report of its own goes")
    results.add_argument(
        "--write-input", type=Path, metavar="FOLDER", help="perf_analyzer's input, a file a model"
    )
    return parser


@contextlib.contextmanager
def _served(options: argparse.Namespace) -> Iterator[Mapping[str, Target]]:
    if options.url:
        urls = {GRPC: options.url, **({REST: options.rest_url} if options.rest_url else {})}
        yield {
            protocol: Access(url=url, protocol=protocol, authorities=options.authorities).target()
            for protocol, url in urls.items()
        }
        return
    with GatewayServer(options.repository, rest_port=0) as gateway:
        yield {
            GRPC: Target(protocol=GRPC, address=gateway.grpc_address),
            REST: Target(protocol=REST, address=gateway.rest_address),
        }


def _write_input(questions: Sequence[Question], target: Target, folder: Path) -> int:
    models = doors[GRPC].describe(target, timeout=TIMEOUT)["models"]
    folder.mkdir(parents=True, exist_ok=True)
    for model in dict.fromkeys(question.model for question in questions):
        file = folder / f"{model}.json"
        write_input(
            [question for question in questions if question.model == model],
            batched=models[model]["max_batch_size"] > 0,
            file=file,
        )
        print(file)
    return MEASURED


if __name__ == "__main__":
    sys.exit(main())
