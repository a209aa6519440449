"""Brings the exported network to a precision, in the form that the target's engine is built from.

    python -m build.stages.precision var/build/qface-tiny/onnx --target tensorrt --precision fp16 --output DIR

OpenVINO and ONNX Runtime take fp32 from the file as it was exported, and OpenVINO's bf16 is a setting of
its engine. TensorRT is strongly typed: the precision lies in the ONNX file. int8 and fp8 are quantised
on real faces (CALIBRATION=).
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.backends import backend, backend_of, backends
from build.backends.base import LoweredNetwork
from build.cli import told
from build.errors import BuildError
from build.lowering.calibration import CALIBRATION_FACES
from build.precisions import PRECISIONS, Precision, format_of


def lower(
    network: Path,
    *,
    target: str,
    precision: Precision,
    contract: Mapping[str, Any],
    faces: NDArray[np.uint8],
    calibration: NDArray[np.uint8] | None,
    directory: Path,
    progress: Callable[[str], None],
) -> LoweredNetwork:
    """Writes the network at a precision for a target into an existing, empty directory.

    `faces` [N, S, S, 3] are real crops that show how large values become; `calibration` [N, S, S, 3],
    500 or more, what int8 and fp8 are fitted to. What the file says of itself (contract, config, card)
    is kept. Raises BuildError where that can't be done.
    """
    faces_to_fit = _enough(calibration, precision=precision) if format_of(precision).quantised else None
    return backend(target).lower(
        network,
        precision=precision,
        contract=contract,
        faces=faces,
        calibration=faces_to_fit,
        directory=directory,
        log=progress,
    )


def _enough(calibration: NDArray[np.uint8] | None, *, precision: Precision) -> NDArray[np.uint8]:
    if calibration is None:
        raise BuildError(
            f"{precision} is fitted to real faces: name a directory of {CALIBRATION_FACES} or more pictures "
            "with CALIBRATION="
        )
    if len(calibration) < CALIBRATION_FACES:
        raise BuildError(
            f"{precision} is fitted to {CALIBRATION_FACES} or more faces, and there are {len(calibration)}: "
            "name a fuller directory with CALIBRATION="
        )
    return calibration


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    from build.pipeline import precision_step
    from build.stages.stage import perform

    parser = argparse.ArgumentParser(
        prog="python -m build.stages.precision", description=__doc__.splitlines()[0]
    )
    parser.add_argument("network", type=Path, help="the directory that the export left (var/build/NAME/onnx)")
    parser.add_argument("--target", choices=list(backends()), required=True)
    parser.add_argument("--precision", choices=PRECISIONS, required=True)
    parser.add_argument("--calibration", type=Path, help="a directory of 500 or more pictures of people")
    parser.add_argument("--detector", type=Path, help="the face detector's .tflite")
    parser.add_argument("--output", type=Path, required=True, help="the directory for the network")
    options = parser.parse_args(arguments)

    def build() -> int:
        backend_of(options.target, options.precision)
        step = precision_step(
            options.network,
            directory=options.output,
            target=options.target,
            precision=options.precision,
            calibration=options.calibration,
            detector=options.detector,
            say=print,
        )
        perform(step, say=print)
        return 0

    return told("build.stages.precision", build)


if __name__ == "__main__":
    sys.exit(main())
