"""Sends many thousand requests to a gateway and measures whether its processes grow: `make soak`.

    python -m deploy.benchmark.soak [--requests 20000] [--clients 16] [--rest]
    python -m deploy.benchmark.soak --report var/soak [--plot memory.svg]

Good and bad requests over gRPC (and REST), clients that leave, new connections, swaps and keys read again.
Writes samples.jsonl and progress.json while it runs, and report.md at the end, into --output;
an interruption (Ctrl-C, SIGTERM) ends it in order and reports what was measured. The status is 1 when a
request was lost or answered wrongly, when something grows, and after an interruption.
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from deploy.benchmark.faults.table import machine
from deploy.benchmark.load import End, Summary
from deploy.benchmark.soak import report
from deploy.benchmark.soak.catalogue import Catalogue
from deploy.benchmark.soak.census import Sample
from deploy.benchmark.soak.run import Plan, Recorder, Soak, wrong_ones
from deploy.benchmark.soak.traffic import Questions, senders
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.identity.keys import hash_of, new_key
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.command import parser_of

_SAMPLES = 200  # in a run
_SWAP_SHARE = 12  # swaps fall at one, two and three twelfths of a run
_RELOADS = 20
_LEAST_STEP = 20  # requests between two samples


class Keys:
    """A gateway's file of keys, in which one stays and another one comes and goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = new_key()
        self._further = False
        self.change()

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self._key}")]

    def change(self) -> None:
        """Adds the other key, or takes it away."""
        entries = {"soak": self._key} | ({"further": new_key()} if self._further else {})
        self._further = not self._further
        written = self._path.with_suffix(".new")
        written.touch(mode=0o600)
        written.write_text(
            "".join(f'[keys.{name}]\nsha256 = "{hash_of(key).hex()}"\n' for name, key in entries.items())
        )
        written.replace(self._path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("deploy.benchmark.soak", __doc__, repository=True)
    parser.add_argument("--requests", type=int, default=20_000, help="in all (default: 20000)")
    parser.add_argument("--clients", type=int, default=16, help="at once (default: 16)")
    parser.add_argument("--rest", action="store_true", help="three of ten over REST")
    parser.add_argument("--step", type=int, help="requests between samples (default: 200 samples)")
    parser.add_argument(
        "--swap-every",
        type=int,
        help="requests before each of three swaps (default: a twelfth of all; 0: none)",
    )
    parser.add_argument("--output", type=Path, default=PROJECT / "var" / "soak")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="only report on the samples there")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="with --report: draw the memory (.svg, .png)"
    )
    parser.add_argument("gateway", nargs="*", help="further options of the gateway, after --")
    options = parser.parse_args(arguments)
    if options.report is not None:
        samples = _read(options.report)
        series = _report(samples, options.report, heading="")
        if options.plot is not None:
            from deploy.benchmark.soak import plot

            plot.draw(samples, options.plot)
        return 1 if report.growing(series) else 0
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        return _soak(options)
    except EmbeddedServerError as error:
        print(f"soak: {error} (its log: {options.output / 'server.log'})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # in a run it ends that in order
        print("soak: interrupted before its first request", file=sys.stderr)
        return 130


def _soak(options: argparse.Namespace) -> int:
    requests: int = options.requests
    plan = Plan(
        requests=requests,
        step=options.step or max(_LEAST_STEP, requests // _SAMPLES),
        swap_every=requests // _SWAP_SHARE if options.swap_every is None else options.swap_every,
        reload_every=max(1, requests // _RELOADS),
    )
    recorder = Recorder(options.output)
    with tempfile.TemporaryDirectory() as folder, (options.output / "server.log").open("w") as sink:
        keys = Keys(Path(folder) / "keys.toml")
        further = [
            "--keys",
            str(Path(folder) / "keys.toml"),
            "--access-log",
            str(Path(folder) / "access.log"),
        ]
        further += options.gateway
        with GatewayServer(
            options.repository, log=sink, arguments=further, rest_port=0 if options.rest else None
        ) as gateway:
            rest_address = gateway.rest_address
            _log(f"ready at {gateway.grpc_address} {rest_address}; every question is asked once")
            catalogue = Catalogue(gateway.grpc_address, gateway.models, metadata=keys.metadata)
            questions = Questions.of(catalogue, rest_address=rest_address, metadata=keys.metadata)
            _log(f"{len(questions.good)} good, {len(questions.bad)} bad, {len(questions.rest)} over REST")
            soak = Soak(
                gateway,
                senders(gateway.grpc_address, questions, clients=options.clients, rest_address=rest_address),
                plan=plan,
                recorder=recorder,
                folder=Path(folder),
                change_keys=keys.change,
                log=_log,
            )
            with _interruptible(soak.cancelled.set):
                soak.run()
    summary = Summary.of(soak.outcomes)
    answered = sum(outcome.end is End.ANSWERED for outcome in soak.outcomes)
    heading = (
        f"{machine()}; {options.clients} clients, {len(soak.outcomes):,} requests in {soak.seconds:,.0f} s "
        f"({len(soak.outcomes) / soak.seconds:.1f} a second, {answered:,} answered); "
        f"{'gRPC and REST' if options.rest else 'gRPC'}.\n\n{summary}.\n\n"
        f"Meanwhile: {', '.join(soak.changes) or 'nothing'}."
    )
    if len(soak.outcomes) < requests:
        heading += f"\n\nIt was ended before its {requests:,} requests."
    flaws = [*soak.failures, *wrong_ones(soak.outcomes)]
    if flaws:
        heading += "\n\n" + "\n".join(f"- {flaw}" for flaw in flaws[:50])
    series = _report(recorder.samples, options.output, heading=heading)
    return 1 if flaws or report.growing(series) or len(soak.outcomes) < requests else 0


def _report(samples: Sequence[Sample], folder: Path, *, heading: str) -> list[report.Series]:
    """Prints the tables, and writes them and a plot into a folder."""
    series = report.series_of(samples)
    peak = max((sample.region_peak for sample in samples), default=0)
    parts = [
        heading,
        report.RULE,
        report.total_table(series),
        report.memory_table(series),
        report.count_table(series),
        report.quiet_table(samples),
        f"/dev/shm at most: {peak / 2**20:.1f} MiB (two Tritons during a swap included).",
    ]
    text = "\n\n".join(part for part in parts if part)
    (folder / "report.md").write_text(text + "\n")
    print(text)
    return series


def _read(folder: Path) -> list[Sample]:
    lines = (folder / "samples.jsonl").read_text().splitlines()
    return [Sample.from_json(json.loads(line)) for line in lines if line.endswith("}")]


@contextlib.contextmanager
def _interruptible(cancel: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the run in order."""
    before = {
        number: signal.signal(number, lambda *_: cancel()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it in order, as Ctrl-C does
    sys.exit(main())
