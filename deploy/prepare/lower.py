"""Brings a network to a precision where an image is built, so that its hosts only compile it.

    .venv/bin/python -m deploy.prepare.lower --target tensorrt --precision fp16 --output var/lowered

It needs no GPU, and for 16 bits modelopt, which needs torch: the environment `.venv`. What it leaves is what
`python -m deploy.prepare` looks for below `--lowered`.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from build.backends import servable_backend, servable_backends
from build.cli import run_cli
from build.config import WEIGHTS
from build.errors import BuildError
from build.files import ROOT
from build.onnx_interface import Graph
from build.options import from_options, option, parser_of
from build.precisions import Precision, format_of
from build.stages.exported import ExportedStage
from build.stages.precision import PrecisionStage
from build.stages.stage import Log, perform, recorded

PROGRAM = "deploy.prepare.lower"
LOWERED = ROOT / "var" / "lowered"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the command makes."""

    target: str = option(help="what the engine will be built for", choices=servable_backends)
    precision: Precision | None = option(
        help="what the engine will multiply in (default: the target's)", default=None
    )
    weights: Path = option(
        help="an exported network, with its report and reference beside it", default=WEIGHTS
    )
    output: Path = option(help="the folder for what is made (default: var/lowered)", default=LOWERED)


def lower(weights: Path, *, target: str, precision: Precision, output: Path, log: Log) -> Path:
    """The directory that the precision step left, made where it is missing. BuildError where it can't be."""
    if format_of(precision).quantised:
        raise BuildError(
            f"{precision} is fitted to real faces, which a deployment does not have: build that engine with "
            "`make engine`, or choose another precision"
        )
    exported = perform(
        ExportedStage(weights=weights, directory=output / weights.stem / "onnx"), log=log
    ).directory
    stage = PrecisionStage(
        network=exported,
        directory=_place(output, weights, target, precision),
        target=target,
        precision=precision,
    )
    return perform(stage, log=log).directory


def find_lowered(folder: Path, graph: Graph, *, target: str, precision: Precision) -> Path | None:
    """What `lower` left of this network below a folder; None where it is missing, damaged or of another."""
    place = _place(folder, graph.path, target, precision)
    record = recorded(place)
    known = record is not None and record["report"].get("onnx", {}).get("onnx_sha256") == graph.sha256
    return place if known else None


def _place(folder: Path, weights: Path, target: str, precision: Precision) -> Path:
    return folder / weights.stem / f"{target}-{precision}" / "precision"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(Inputs, program=PROGRAM, description=__doc__)
    inputs = from_options(Inputs, parser.parse_args(arguments))

    def build() -> int:
        precision = inputs.precision or servable_backend(inputs.target).default_precision
        place = lower(
            inputs.weights, target=inputs.target, precision=precision, output=inputs.output, log=print
        )
        print(place)
        return 0

    return run_cli(PROGRAM, build)


if __name__ == "__main__":
    sys.exit(main())
