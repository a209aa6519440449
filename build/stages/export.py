"""Exports a checkpoint to ONNX and proves that the two answer alike.

    python -m build.stages.export weights/qface-tiny.safetensors --output weights/qface-tiny.onnx
    python -m build.stages.export weights/qface-tiny.safetensors --directory var/build/qface-tiny/onnx

The first command writes one file, to be committed or sent on, and beside it the report and real faces with
torch's answers (FILE.onnx.json, FILE.reference.npz). The second one is the first stage of a build: the file,
and the same faces and answers.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from build.acceptance.comparison_pictures import real_crops
from build.acceptance.parity import nearly_constant
from build.acceptance.reference import REFERENCE, Reference, reference_path, save_reference
from build.cli import run_cli
from build.detector import find_detector
from build.manifest import package_versions
from build.onnx_interface import count_parameters, read_graph
from build.options import add_option, add_options, argument, from_options, option
from build.serving.batching_and_queues import MAX_BATCH
from build.stages.artifacts import NETWORK, ExportReport
from build.stages.common_options import detector_option, photo_option
from build.stages.stage import Log, Stage, perform, sha256_of_input
from runtime.contract import Contract
from runtime.image.crops import crop_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportStage(Stage[ExportReport]):
    """checkpoint -> ONNX, with real faces and torch's answers beside it."""

    name: ClassVar[str] = "onnx"
    module: ClassVar[str] = "build.stages.export"

    checkpoint: Path = argument(help="a .safetensors file that training.models saved")
    directory: Path = option(
        help="instead of --output: the directory for build.stages.precision (model.onnx, and real faces with "
        "torch's answers)"
    )
    photo: Path = photo_option()
    detector: Path | None = detector_option()

    def inputs(self) -> Mapping[str, Any]:
        return {
            "checkpoint": sha256_of_input(self.checkpoint, "checkpoint"),
            "photo": sha256_of_input(self.photo, "photo"),
            "detector": sha256_of_input(self._detector, "face detector"),
            "versions": package_versions("torch", "onnxscript", "timm") | package_versions(),
            "code": self.code(),
        }

    def run(self, place: Path, *, log: Log) -> ExportReport:
        # These need torch, which the command's other stages do without.
        from build.acceptance.torch_reference import make_reference
        from build.onnx_export import export

        pixels = self.faces()  # first: a photo without a face is found in a second, the export takes longer
        report = export(self.checkpoint, output=place / NETWORK)
        reference, parity = make_reference(self.checkpoint, onnx_file=place / NETWORK, pixels=pixels)
        save_reference(place / REFERENCE, reference)
        graph = read_graph(place / NETWORK)
        unseen = _unseen(graph.contract, reference, log=log)
        return {
            **report,
            "faces": {"photo": self.photo.name, "count": len(pixels), "parity": parity, "blind": unseen},
            "parameters": count_parameters(place / NETWORK),
            "trained": json.loads(graph.metadata.get("card", "{}")).get("trained", True),
        }

    def faces(self) -> NDArray[np.uint8]:
        """Crops [MAX_BATCH, S, S, 3] of the photo's faces, on which answers are compared."""
        from build.onnx_export import read_checkpoint

        contract = read_checkpoint(self.checkpoint).contract
        return real_crops(
            self.photo,
            detector=self._detector,
            size=contract.input_size,
            count=MAX_BATCH,
            crop=crop_of(contract.crop),
        )

    @property
    def _detector(self) -> Path:
        return self.detector or find_detector()


def _unseen(contract: Contract, reference: Reference, *, log: Log) -> list[str]:
    """The outputs about which these faces show nothing, which is logged too."""
    unseen = nearly_constant(contract, reference.answers)
    if unseen:
        log(
            f"  these faces hardly differ in {', '.join(unseen)}, so they can't tell how low precision "
            "treats it: name another photo with --photo"
        )
    return unseen


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m build.stages.export", description=__doc__.splitlines()[0]
    )
    add_options(parser, ExportStage, without=("directory",))
    results = parser.add_mutually_exclusive_group(required=True)
    add_option(results, ExportStage, "directory")
    results.add_argument("--output", type=Path, help="the .onnx file to write, to be committed or sent on")
    options = parser.parse_args(arguments)

    def build() -> int:
        if options.directory is None:
            return _export_file(
                from_options(ExportStage, options, directory=options.output.parent), options.output
            )
        perform(from_options(ExportStage, options), log=print)
        return 0

    return run_cli("build.stages.export", build)


def _export_file(stage: ExportStage, output: Path) -> int:
    from build.acceptance.torch_reference import make_reference
    from build.onnx_export import export

    pixels = stage.faces()
    report = export(stage.checkpoint, output=output)
    reference, _ = make_reference(stage.checkpoint, onnx_file=output, pixels=pixels)
    save_reference(reference_path(output), reference)
    _unseen(read_graph(output).contract, reference, log=print)
    print(f"{output}: {report['bytes'] / 1e6:.1f} MB, {report['nodes']} nodes")
    print("the largest differences between torch and ONNX Runtime:")
    for batch, by_output in report["parity"].items():
        found = ", ".join(f"{name} {value:.1e}" for name, value in by_output.items())
        print(f"  batch {batch:>2}: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
