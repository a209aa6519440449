"""The stages from a checkpoint to an engine, in their order.

checkpoint -> onnx -> precision -> engine, each in a directory of its own below var/build/NAME:

    onnx/                            model.onnx, its report, reference.npz (real faces, torch's answers)
    TARGET-PRECISION/precision/      the network at that precision
    TARGET-PRECISION/engine/         the engine and its manifest
"""

import dataclasses
from pathlib import Path

from build.precisions import Precision
from build.stages.artifacts import EngineReport
from build.stages.common_options import PHOTO
from build.stages.compile import BuildSettings, CompileStage
from build.stages.export import ExportStage
from build.stages.precision import PrecisionStage
from build.stages.stage import Done, Log, perform


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineBuild:
    """What engine is built, from what, and where everything on the way is kept."""

    checkpoint: Path
    name: str  # of the directory below `output`/build
    target: str
    precision: Precision
    settings: BuildSettings
    photo: Path = PHOTO
    calibration: Path | None = None
    detector: Path | None = None
    output: Path

    def export(self) -> ExportStage:
        """The first stage."""
        return ExportStage(
            checkpoint=self.checkpoint,
            directory=self.output / "build" / self.name / "onnx",
            photo=self.photo,
            detector=self.detector,
        )

    def lower(self, network: Path) -> PrecisionStage:
        """The second stage; `network` is the first one's directory."""
        return PrecisionStage(
            network=network,
            directory=self._place / "precision",
            target=self.target,
            precision=self.precision,
            calibration=self.calibration,
            detector=self.detector,
        )

    def compile(self, network: Path) -> CompileStage:
        """The third stage; `network` is the second one's directory."""
        return CompileStage(
            network=network,
            directory=self._place / "engine",
            settings=self.settings,
            timing_cache=self.output / "build" / "timing.cache",
        )

    @property
    def _place(self) -> Path:
        return self.output / "build" / self.name / f"{self.target}-{self.precision}"


def build_engine(build: EngineBuild, *, log: Log) -> Done[EngineReport]:
    """All stages; the last one's result, whose `ran` says whether any of them ran."""
    exported = perform(build.export(), log=log)
    lowered = perform(build.lower(exported.directory), log=log)
    compiled = perform(build.compile(lowered.directory), log=log)
    return dataclasses.replace(compiled, ran=exported.ran or lowered.ran or compiled.ran)
