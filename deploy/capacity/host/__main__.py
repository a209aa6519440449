"""What share of its GPUs a host can feed: `python -m deploy.capacity.host`.

    python -m deploy.capacity.host --run RUN.json --faces-per-second E
    python -m deploy.capacity.host --run RUN.json --faces-per-second E --mix face=3 photo:8=1 --cores 16 64

RUN.json is what `python -m deploy.benchmark.answer_cost --json RUN.json` kept, best of the GPU server itself:
what the steps beside the network cost does not depend on where the network runs. E is measured on the GPU: of
the plan alone with trtexec, or of face_engine with perf_analyzer. `deploy.capacity.host.model` has the
formulas.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from build.errors import BuildError
from build.serving.host_settings import HostSettings, read_settings
from deploy.benchmark.answer_cost.results import Run
from deploy.benchmark.answer_cost.rows import DIRECT, GATEWAY
from deploy.capacity.host.model import BUSY, PREPROCESS, Capacity, Gpus, capacity
from deploy.capacity.host.requests import KINDS, RequestCost, request_cost
from deploy.measuring.command import command, parser_of
from deploy.measuring.plain_data import rounded

CORES = (8, 16, 32, 64, 128)


@command("capacity", BuildError)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of("deploy.capacity.host", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="a kept run of deploy.benchmark.answer_cost")
    parser.add_argument(
        "--faces-per-second",
        type=float,
        required=True,
        metavar="E",
        help="of the engine on one GPU, measured there: nothing stands for it",
    )
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--cores", type=int, nargs="+", default=CORES, help="of the host; a line each")
    parser.add_argument(
        "--mix",
        nargs="+",
        default=["face=1"],
        metavar="KIND=SHARE",
        help=f"of requests: {', '.join(KINDS)}, photo:8 is 1080p with 8 faces (default: face=1)",
    )
    parser.add_argument(
        "--cost",
        nargs="+",
        default=[],
        metavar="STEP=CORE-MS",
        help="of a step in place of the measured one",
    )
    parser.add_argument(
        "--decoded-per-second",
        type=float,
        metavar="D",
        help="pictures that one GPU decodes and warps (DALI), measured there; give what is left of "
        f"{PREPROCESS} on the host with --cost {PREPROCESS}=CORE-MS",
    )
    parser.add_argument("--gateway-processes", type=int, default=1, metavar="P", help="front processes")
    parser.add_argument("--direct", action="store_true", help="without the gateway")
    parser.add_argument("--settings", type=Path, help="a host's settings; default: those of its cores")
    parser.add_argument("--busy", type=float, default=BUSY, help=f"share of the cores (default: {BUSY})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are kept")
    options = parser.parse_args(arguments)
    found = _capacities(Run.read(options.run), options)
    if options.json is not None:
        kept = [dataclasses.asdict(each) | {"gpu_share": each.gpu_share} for each in found]
        options.json.write_text(json.dumps(rounded(kept), indent=1) + "\n")
    print(table(found))
    return 0


def _capacities(run: Run, options: argparse.Namespace) -> list[Capacity]:
    costs = dict(map(_pair, options.cost))
    if options.decoded_per_second is not None and PREPROCESS not in costs:
        raise ValueError(
            f"--decoded-per-second leaves a part of {PREPROCESS} on the host: measure it, and give it with "
            f"--cost {PREPROCESS}=CORE-MS"
        )
    mix = [_kind(run, text, way=DIRECT if options.direct else GATEWAY) for text in options.mix]
    if unknown := costs.keys() - {step for _, cost in mix for step in cost.steps}:
        raise ValueError(f"no request of the mix has a step {sorted(unknown)[0]!r}")
    mix = [(share, cost.with_costs(costs)) for share, cost in mix]
    gpus = Gpus(
        faces_per_second=options.faces_per_second,
        count=options.gpus,
        decoded_per_second=options.decoded_per_second,
    )
    return [
        capacity(
            mix,
            _host(options.settings, cores=cores),
            gpus,
            gateway_processes=options.gateway_processes,
            busy=options.busy,
        )
        for cores in options.cores
    ]


def _host(settings: Path | None, *, cores: int) -> HostSettings:
    read = read_settings(settings, device="gpu", cores=cores)
    return dataclasses.replace(read, cores=cores)


def _kind(run: Run, text: str, *, way: str) -> tuple[float, RequestCost]:
    name, share = _pair(text)
    kind, _, faces = name.partition(":")
    if faces and not faces.isdecimal():
        raise ValueError(f"{name!r} has no number of faces: write photo:8")
    return share, request_cost(run, kind, faces=int(faces) if faces else None, way=way)


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not name or not 0 <= number < float("inf"):
        raise ValueError(f"{text!r} is no NAME=NUMBER: write face=1")
    return name, number


def table(found: Sequence[Capacity]) -> str:
    """Markdown: a line for each number of cores, and what a request of the mix costs."""
    lines = [
        "| cores | requests/s | faces/s | of the GPUs | limit | next | cores for the GPUs |",
        "|---:|---:|---:|---:|---|---|---:|",
    ]
    for each in found:
        then, allowed = list(each.bounds.items())[1]
        lines.append(
            f"| {each.cores} | {each.requests:,.0f} | {each.faces:,.0f} | {each.gpu_share:.0%} "
            f"| {each.limit} | {then} ({allowed:,.0f}) | {each.cores_for_gpus:,.0f} |"
        )
    steps = [f"{step} {cost:.2f}" for step, cost in found[0].core_ms.items() if cost >= 0.05]
    return "\n".join([*lines, "", f"Core-ms of a request of the mix: {', '.join(steps)}."])


if __name__ == "__main__":
    sys.exit(main())
