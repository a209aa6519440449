"""Makes a checkpoint with random weights of a configuration, to try a network's structure and speed."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from build.files import shown
from build.manifest import package_versions
from build.stages.artifacts import CheckpointReport
from build.stages.stage import Log, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class UntrainedStage(Stage[CheckpointReport]):
    """A configuration's name -> a checkpoint with random weights, the same ones each time."""

    name: ClassVar[str] = "random weights"
    module: ClassVar[str] = "build.stages.random_weights"

    configuration: str

    def inputs(self) -> Mapping[str, Any]:
        return {
            "configuration": self.configuration,
            "versions": package_versions("torch", "timm"),
            "code": self.code(),
        }

    def command(self) -> str:
        """The command of `training`, which makes such checkpoints by itself."""
        output = shlex.quote(shown(self.directory / self._file))
        return f"python -m training.train.random_initialisation {self.configuration} --output {output}"

    def run(self, place: Path, *, log: Log) -> CheckpointReport:
        from training.models import CONFIGS, save_checkpoint
        from training.train.random_initialisation import random_checkpoint

        save_checkpoint(place / self._file, random_checkpoint(CONFIGS[self.configuration], seed=0))
        return {"checkpoint": self._file}

    @property
    def _file(self) -> str:
        return f"{self.configuration}-untrained.safetensors"
