"""How fast the bare engine is beside torch in eager fp32: the first table of `make bench`.

    python -m deploy.benchmark.throughput

Faces a second by batch, of what a repository serves and of its checkpoint in torch, in turns on the same
cores.
"""

import functools
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.acceptance import speed
from build.errors import BuildError
from build.manifest import MANIFEST
from build.serving_plan import shipped_checkpoint
from deploy.measuring.command import command, parser_of
from deploy.measuring.model_parameters import model_parameters
from runtime.engines import load_engine


def measure(
    *, repository: Path, weights: Path | None, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """`build.acceptance.speed.measure` of what is served; `weights` (None: of weights/) are torch's.

    ValueError or BuildError where they are not what the repository serves.
    """
    weights = weights or shipped_checkpoint(repository)
    if weights is None:
        raise ValueError(f"{repository} serves no network of weights/: name its checkpoint with --weights")
    manifest = json.loads((repository / MANIFEST).read_text())
    if hashlib.sha256(weights.read_bytes()).hexdigest() != manifest["stages"]["checkpoint"]["sha256"]:
        raise ValueError(
            f"{weights} is not what {repository} serves: name its checkpoint with --weights, or none for "
            "one in weights/"
        )
    model = repository / "models" / "face_engine"
    engine = load_engine(model / "1", model_parameters(model))

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return engine.infer({"pixels": pixels})

    log = functools.partial(print, file=sys.stderr)
    return speed.measure(weights, infer, rounds=rounds, seconds=seconds, progress=log)


def table(rates: dict[str, dict[str, float]]) -> str:
    """Faces a second by batch, and the engine's over torch's."""
    lines = [
        "| batch | torch eager fp32, faces/s | bare engine, faces/s | against torch |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {batch} | {of[speed.TORCH]:.1f} | {of[speed.ENGINE]:.1f} | {of['ratio']:.2f}x |"
        for batch, of in rates.items()
    ]
    return "\n".join(lines)


@command("bench", BuildError)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(
        "deploy.benchmark.throughput",
        __doc__,
        repository=True,
        rounds=5,
        seconds=1.0,
        seconds_of="of each way in each round",
    )
    parser.add_argument(
        "--weights", type=Path, help="torch's checkpoint of what is served (that in weights/)"
    )
    options = parser.parse_args(arguments)
    rates = measure(
        repository=options.repository,
        weights=options.weights,
        rounds=options.rounds,
        seconds=options.seconds,
    )
    print(table(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
