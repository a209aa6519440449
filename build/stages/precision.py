"""Brings the exported network to a precision, in the form that the target's engine is built from.

    python -m build.stages.precision var/build/qface-tiny/onnx --target tensorrt --precision fp16 --output DIR

Where a precision is a setting of the engine, the file stays as it was exported; else it lies in the file.
int8 and fp8 are quantised on real faces (CALIBRATION=). Each of `build.backends` decides which.
"""

import dataclasses
import functools
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from build.acceptance.reference import REFERENCE, load_reference
from build.backends import backend, backends, module_of
from build.backends.base import LoweredNetwork, LoweringRequest
from build.cli import run_cli
from build.detector import find_detector
from build.errors import BuildError
from build.files import link_or_copy, sha256_of_file, shown
from build.lowering.calibration_faces import CALIBRATION_FACES, calibration_faces
from build.manifest import package_versions
from build.onnx_interface import read_graph
from build.options import argument, from_options, option, parser_of
from build.precisions import Precision, format_of
from build.stages.artifacts import EXPORTED, NETWORK, ExportReport, PrecisionReport
from build.stages.common_options import calibration_option, detector_option
from build.stages.stage import Finished, Log, Stage, finished, listing, perform, sha256_of_input
from runtime.contract import Contract
from runtime.image.crops import crop_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionStage(Stage[PrecisionReport]):
    """ONNX -> the network at a precision, in the form that the target reads."""

    name: ClassVar[str] = "precision"
    module: ClassVar[str] = "build.stages.precision"

    network: Path = argument(help="the directory that the export left (var/build/NAME/onnx)")
    directory: Path = option(flag="--output", help="the directory for the network")
    target: str = option(help="what the engine is built for", choices=backends)
    precision: Precision = option(help="what the engine multiplies in")
    calibration: Path | None = calibration_option()
    detector: Path | None = detector_option()

    def __post_init__(self) -> None:
        # Not whether an engine can be built here: where an image is built there is no GPU.
        backend(self.target).check_precision(self.precision)

    @property
    def title(self) -> str:
        return f"{self.name} ({self.target}, {self.precision})"

    @property
    def registry_modules(self) -> Mapping[str, Collection[str]]:
        return {"build.backends": [module_of(self.target)]}

    def inputs(self) -> Mapping[str, Any]:
        pictures = self._pictures
        return {
            "network": self._exported.outputs,
            "target": self.target,
            "precision": self.precision,
            # Distinguishes directories of pictures without reading all of them.
            "calibration": {"directory": shown(pictures), "listing": listing(pictures)} if pictures else None,
            "detector": sha256_of_input(self.detector or find_detector(), "face detector")
            if self._quantised
            else None,
            "versions": package_versions("nvidia-modelopt", "nncf") | package_versions(),
            "code": self.code(),
        }

    def run(self, place: Path, *, log: Log) -> PrecisionReport:
        exported = self._exported.report
        graph = read_graph(self.network / NETWORK)
        reference = load_reference(self.network / REFERENCE)
        faces = None
        if self._pictures is not None:
            faces = calibration_faces(
                self._pictures,
                size=graph.contract.input_size,
                detector=self.detector,
                log=log,
                crop=crop_of(graph.contract.crop),
            )
        lowered = lower(
            self.network / NETWORK,
            target=self.target,
            precision=self.precision,
            contract=graph.contract,
            faces=reference.pixels,
            calibration=faces,
            directory=place,
            log=log,
        )
        link_or_copy(self.network / REFERENCE, place / REFERENCE)
        link_or_copy(self.network / NETWORK, place / EXPORTED)
        return {
            "target": self.target,
            "precision": self.precision,
            "network": lowered.network.name,
            "files": {name: sha256_of_file(path) for name, path in lowered.files.items()},
            "kept": [node.to_json() for node in lowered.excluded],
            "details": dict(lowered.details),
            "onnx": {
                "onnx_sha256": exported["onnx_sha256"],
                "checkpoint_sha256": exported["checkpoint_sha256"],
            },
            "exported": {
                "parity": exported["parity"],
                "faces": exported["faces"],
                "tolerances": exported["tolerances"],
            },
            "contract": graph.contract.to_json(),
            "parameters": exported["parameters"],
            "trained": exported["trained"],
        }

    @functools.cached_property
    def _exported(self) -> Finished[ExportReport]:
        return finished(self.network, "onnx", ExportReport)

    @property
    def _quantised(self) -> bool:
        return format_of(self.precision).quantised

    @property
    def _pictures(self) -> Path | None:
        """The pictures to calibrate on, where this precision needs any."""
        return self.calibration if self._quantised else None


def lower(
    network: Path,
    *,
    target: str,
    precision: Precision,
    contract: Contract,
    faces: NDArray[np.uint8],
    calibration: NDArray[np.uint8] | None,
    directory: Path,
    log: Log,
) -> LoweredNetwork:
    """Writes the network at a precision for a target into an existing, empty directory.

    `faces` [N, S, S, 3] are real crops that show how large values become; `calibration` [N, S, S, 3],
    500 or more, what a quantised precision is fitted to. The file's metadata (contract, config, card) is
    kept. Raises BuildError where that can't be done.
    """
    faces_to_fit = _enough(calibration, precision=precision) if format_of(precision).quantised else None
    return backend(target).lower(
        LoweringRequest(
            network=network,
            precision=precision,
            contract=contract,
            faces=faces,
            calibration=faces_to_fit,
            directory=directory,
            log=log,
        )
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
    parser = parser_of(PrecisionStage, program=PrecisionStage.module, description=__doc__)
    options = parser.parse_args(arguments)

    def build() -> int:
        perform(from_options(PrecisionStage, options), log=print)
        return 0

    return run_cli(PrecisionStage.module, build)


if __name__ == "__main__":
    sys.exit(main())
