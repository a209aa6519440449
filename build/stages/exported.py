"""Takes a network that was exported before, with torch's answers beside it, as the first stage of a build.

    python -m build.stages.exported weights/qface-tiny.onnx --output DIR

It needs neither torch nor the checkpoint: FILE.onnx.json and FILE.reference.npz, which `build.stages.export`
left beside the file, have what the next stages need.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from build.acceptance.export_parity import export_differences
from build.acceptance.parity import nearly_constant
from build.acceptance.reference import REFERENCE, load_reference, reference_path
from build.cli import run_cli
from build.errors import BuildError
from build.files import link_or_copy
from build.manifest import package_versions, report_path
from build.onnx_interface import count_parameters, read_graph
from build.options import argument, from_options, option, parser_of
from build.stages.artifacts import NETWORK, ExportReport, OnnxReport
from build.stages.stage import Log, Stage, perform, sha256_of_input


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportedStage(Stage[ExportReport]):
    """An exported ONNX file -> what the export stage leaves, with its own faces and answers."""

    name: ClassVar[str] = "onnx"
    module: ClassVar[str] = "build.stages.exported"

    weights: Path = argument(help="an ONNX file that `build.stages.export CHECKPOINT --output FILE` wrote")
    directory: Path = option(flag="--output", help="the directory for build.stages.precision")

    def inputs(self) -> Mapping[str, Any]:
        return {
            "weights": sha256_of_input(self.weights, "network"),
            "reference": sha256_of_input(reference_path(self.weights), "file of torch's answers"),
            "report": sha256_of_input(report_path(self.weights), "export's report"),
            "versions": package_versions(),
            "code": self.code(),
        }

    def run(self, place: Path, *, log: Log) -> ExportReport:
        graph = read_graph(self.weights)
        reference = load_reference(reference_path(self.weights), network=graph.sha256)
        report: OnnxReport = json.loads(report_path(self.weights).read_text())
        if report.get("onnx_sha256") != graph.sha256:
            raise BuildError(
                f"{report_path(self.weights)} is about another file than {self.weights}: export it again "
                "with `python -m build.stages.export`"
            )
        parity = export_differences(self.weights, reference, contract=graph.contract)
        link_or_copy(self.weights, place / NETWORK)
        link_or_copy(reference_path(self.weights), place / REFERENCE)
        return {
            **report,
            "faces": {
                "photo": reference_path(self.weights).name,
                "count": len(reference.pixels),
                "parity": parity,
                "blind": nearly_constant(graph.contract, reference.answers),
            },
            "parameters": count_parameters(place / NETWORK),
            "trained": json.loads(graph.metadata.get("card", "{}")).get("trained", True),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(ExportedStage, program=ExportedStage.module, description=__doc__)
    options = parser.parse_args(arguments)

    def build() -> int:
        perform(from_options(ExportedStage, options), log=print)
        return 0

    return run_cli(ExportedStage.module, build)


if __name__ == "__main__":
    sys.exit(main())
