"""What a request costs the gateway, with one front process and with several.

    python -m deploy.benchmark.front_processes --processes 1 2
    python -m deploy.benchmark.front_processes --processes 1 --trace-ratio off 0.01 1

Clients send raw crops (37 kB) as fast as they are answered, through a gateway, to a model of Triton's that
does next to nothing. What counts is the processor time of the gateway's own processes a request, which
says how many requests a second a core carries; the rate itself is that of clients, gateway and Triton
on the same cores. With --trace-ratio such a share of the requests is traced, to a collector that is here too
and throws the spans away. All gateways run at once, and are measured in turns.
"""

import contextlib
import dataclasses
import functools
import http.server
import json
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from build.backends import default_backend
from build.manifest import MANIFEST, sha256_of
from deploy.benchmark.overload import Tally
from deploy.embedded.errors import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.generator import GeneratorError, GeneratorPool
from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.work.question import Question
from deploy.measuring.command import command, parser_of
from deploy.measuring.server_processes import Parts
from qface_client.measuring.sample import Sample

MODEL = "light"
SIDE = 112  # of a crop, pixels
WARM_UP_SECONDS = 1.0
OFF = "off"
_DEADLINE = 30.0
_MAIN, _FRONTS = "main process", "further fronts"

_SOURCE = """
import numpy
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("answer", numpy.zeros((1, 1), numpy.float32))])
            for request in requests
        ]
"""
_CONFIG = f"""
backend: "python"
max_batch_size: 32
input {{ name: "crop" data_type: TYPE_UINT8 dims: [ {SIDE}, {SIDE}, 3 ] }}
output {{ name: "answer" data_type: TYPE_FP32 dims: [ 1 ] }}
instance_group {{ kind: KIND_CPU count: 2 }}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """One gateway."""

    processes: int
    trace_ratio: float | None  # None: no tracing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run; core-milliseconds a request."""

    rate: float  # answers a second
    main: float  # of the main process
    fronts: float  # of the further fronts together


def write_repository(folder: Path) -> Path:
    """A repository of one model that answers at once."""
    version = folder / "models" / MODEL / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_SOURCE)
    (version / "__pycache__").write_text("")  # a file, so that no byte code is left beside what is listed
    (version.parent / "config.pbtxt").write_text(_CONFIG)
    (folder / "lib").mkdir()
    (folder / "lib" / "README").write_text("nothing is imported from here\n")
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    about = {
        "files": sha256_of(files),
        "contract": "none",
        "stages": {"engine": {"target": default_backend("cpu").name}},
    }
    (folder / MANIFEST).write_text(json.dumps(about))
    return folder


def question() -> Question:
    """One crop for the model."""
    return Question(kind=MODEL, model=MODEL, inputs={"crop": np.zeros((1, SIDE, SIDE, 3), np.uint8)})


class _Collector(http.server.BaseHTTPRequestHandler):
    """Takes what is posted, and forgets it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        return


@contextlib.contextmanager
def tracing_arguments(ratio: float | None) -> Iterator[tuple[str, ...]]:
    """The gateway's options to trace such a share of the requests; a collector takes them while this runs."""
    if ratio is None:
        yield ()
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        try:
            endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
            yield ("--otlp-endpoint", endpoint, "--trace-ratio", str(ratio))
        finally:
            collector.shutdown()


def measure(
    repository: Path, setups: Sequence[Setup], *, clients: int, seconds: float, rounds: int
) -> dict[Setup, Cost]:
    """Medians over the rounds, in each of which all gateways have their turn."""
    costs: dict[Setup, list[Cost]] = {setup: [] for setup in setups}
    with contextlib.ExitStack() as stack:
        running: dict[Setup, _Loaded] = {}
        for setup in costs:
            tracing = stack.enter_context(tracing_arguments(setup.trace_ratio))
            words = ("--processes", str(setup.processes), *tracing)
            server = stack.enter_context(GatewayServer(repository, arguments=words))
            target = Target(protocol="grpc", address=server.grpc_address)
            pool = GeneratorPool(target, [question()], processes=1, deadline=_DEADLINE)
            running[setup] = _Loaded(server, stack.enter_context(pool), clients=clients)
            running[setup].round(WARM_UP_SECONDS)
        for _ in range(rounds):
            for setup, loaded in running.items():
                costs[setup].append(loaded.round(seconds))
    return {
        setup: Cost(
            **{
                field.name: statistics.median(getattr(cost, field.name) for cost in of_setup)
                for field in dataclasses.fields(Cost)
            }
        )
        for setup, of_setup in costs.items()
    }


class _Loaded:
    """A gateway, and the clients that load it."""

    def __init__(self, server: GatewayServer, pool: GeneratorPool, *, clients: int) -> None:
        status: dict[str, Any] = server.status()
        fronts = [front["pid"] for front in status["further_fronts"]]
        self._processes = Parts({_MAIN: [status["pid"]], _FRONTS: fronts})
        self._pool = pool
        self._load = ClosedLoop(clients=clients)

    def round(self, seconds: float) -> Cost:
        """ValueError where a request is neither answered nor refused."""
        sample = self._processes.sample(functools.partial(self._send, seconds))
        core_ms = sample.core_ms
        return Cost(rate=sample.answers / seconds, main=core_ms[_MAIN], fronts=core_ms[_FRONTS])

    def _send(self, seconds: float) -> Sample:
        tally = Tally.of(*self._pool.run(self._load, seconds))
        if tally.others:
            raise ValueError(f"requests ended otherwise than with an answer: {dict(tally.others)}")
        return Sample(answers=len(tally.answered), seconds=seconds, core_seconds={}, latencies=tally.answered)


def table(costs: dict[Setup, Cost]) -> str:
    """A line for each gateway."""
    lines = [
        "| front processes | traced | answers/s here | core-ms a request: main process | further fronts "
        "| all | requests/s on a core |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for setup, cost in costs.items():
        all_of_them = cost.main + cost.fronts
        traced = OFF if setup.trace_ratio is None else f"{setup.trace_ratio:g}"
        lines.append(
            f"| {setup.processes} | {traced} | {cost.rate:.0f} | {cost.main:.2f} | {cost.fronts:.2f} "
            f"| {all_of_them:.2f} | {1e3 / all_of_them:.0f} |"
        )
    return "\n".join(lines)


def _ratio(word: str) -> float | None:
    return None if word == OFF else float(word)


@command("bench", EmbeddedServerError, GeneratorError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 2 where the gateway does not start."""
    parser = parser_of("deploy.benchmark.front_processes", __doc__, rounds=3, seconds=5.0)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--clients", type=int, default=8, help="connections (default: 8)")
    parser.add_argument(
        "--trace-ratio",
        type=_ratio,
        nargs="+",
        default=[None],
        help=f"shares that are traced (default: {OFF})",
    )
    options = parser.parse_args(arguments)
    setups = [
        Setup(processes=processes, trace_ratio=ratio)
        for processes in options.processes
        for ratio in options.trace_ratio
    ]
    with tempfile.TemporaryDirectory(prefix="qface-bench-") as folder:
        costs = measure(
            write_repository(Path(folder) / "repository"),
            setups,
            clients=options.clients,
            seconds=options.seconds,
            rounds=options.rounds,
        )
    print(table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
