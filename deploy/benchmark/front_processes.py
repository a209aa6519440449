"""What a request costs the gateway, with one front process and with several.

    python -m deploy.benchmark.front_processes --processes 1 2
    python -m deploy.benchmark.front_processes --processes 1 --trace-ratio off 0.01 1

Clients send raw crops (37 kB) as fast as they are answered, through a gateway, to a model of Triton's that
does next to nothing. What counts is the processor time of the gateway's own processes a request, which
says how many requests a second a core carries; the rate itself is that of clients, gateway and Triton
on the same cores. With --trace-ratio such a share of the requests is traced, to a collector that is here too
and throws the spans away. All gateways run at once, and are measured in turns.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import http.server
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2

from build.backends import default_backend
from build.manifest import MANIFEST, sha256_of
from deploy.embedded.environment import PROJECT
from deploy.embedded.errors import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processor_time import cpu_seconds

MODEL = "light"
SIDE = 112  # of a crop, pixels
METHOD = "/inference.GRPCInferenceService/ModelInfer"
WARM_UP_SECONDS = 1.0
OFF = "off"
BUSY_SECONDS = 0.05  # that a client waits after it was refused

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


def request_bytes() -> bytes:
    """A ModelInferRequest with one crop."""
    request = v2.ModelInferRequest(model_name=MODEL, raw_input_contents=[bytes(SIDE * SIDE * 3)])
    request.inputs.add(name="crop", datatype="UINT8", shape=[1, SIDE, SIDE, 3])
    data: bytes = request.SerializeToString()
    return data


async def load(address: str, *, clients: int, seconds: float) -> int:
    """Answers to so many clients, each with a connection of its own, in so many seconds."""
    data = request_bytes()
    end = time.monotonic() + seconds
    answered = 0

    async def client() -> None:
        nonlocal answered
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            infer = channel.unary_unary(METHOD)
            while time.monotonic() < end:
                try:
                    await infer(data, timeout=30)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    await asyncio.sleep(BUSY_SECONDS)
                else:
                    answered += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    return answered


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
        running: dict[Setup, GatewayServer] = {}
        for setup in costs:
            tracing = stack.enter_context(tracing_arguments(setup.trace_ratio))
            words = ("--processes", str(setup.processes), *tracing)
            running[setup] = stack.enter_context(GatewayServer(repository, arguments=words))
            _load_by_process(running[setup], clients=clients, seconds=WARM_UP_SECONDS)
        for _ in range(rounds):
            for setup, server in running.items():
                costs[setup].append(_one_round(server, clients=clients, seconds=seconds))
    return {
        setup: Cost(
            **{
                field.name: statistics.median(getattr(cost, field.name) for cost in of_setup)
                for field in dataclasses.fields(Cost)
            }
        )
        for setup, of_setup in costs.items()
    }


def _one_round(server: GatewayServer, *, clients: int, seconds: float) -> Cost:
    status: dict[str, Any] = server.status()
    main, fronts = [status["pid"]], [front["pid"] for front in status["further_fronts"]]
    before, began = (cpu_seconds(*main), cpu_seconds(*fronts)), time.monotonic()
    answered = _load_by_process(server, clients=clients, seconds=seconds)
    took = time.monotonic() - began
    return Cost(
        rate=answered / min(took, seconds),
        main=1e3 * (cpu_seconds(*main) - before[0]) / answered,
        fronts=1e3 * (cpu_seconds(*fronts) - before[1]) / answered,
    )


def _load_by_process(server: GatewayServer, *, clients: int, seconds: float) -> int:
    """`load` in a process of its own; answers."""
    words = ("--load", server.grpc_address, "--clients", str(clients), "--seconds", str(seconds))
    command = (sys.executable, "-m", "deploy.benchmark.front_processes", *words)
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT).stdout)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 2 where the gateway does not start."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmark.front_processes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--clients", type=int, default=8, help="connections (default: 8)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default: 3)")
    parser.add_argument(
        "--trace-ratio",
        type=_ratio,
        nargs="+",
        default=[None],
        help=f"shares that are traced (default: {OFF})",
    )
    parser.add_argument("--load", help=argparse.SUPPRESS)  # be the clients of this address
    options = parser.parse_args(arguments)
    if options.load:
        print(asyncio.run(load(options.load, clients=options.clients, seconds=options.seconds)))
        return 0
    setups = [
        Setup(processes=processes, trace_ratio=ratio)
        for processes in options.processes
        for ratio in options.trace_ratio
    ]
    with tempfile.TemporaryDirectory(prefix="qface-bench-") as folder:
        try:
            costs = measure(
                write_repository(Path(folder) / "repository"),
                setups,
                clients=options.clients,
                seconds=options.seconds,
                rounds=options.rounds,
            )
        except EmbeddedServerError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    print(table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
