"""What a repository serves, as data: the plan that it is assembled from, which its manifest records."""

import dataclasses
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.backends import default_backend
from build.config import WEIGHTS
from build.errors import BuildError
from build.files import ROOT, shown
from build.manifest import PLAN, read_manifest
from build.precisions import Precision
from build.preprocessing.choice import Preprocessing
from build.serving.notice import check_notice
from runtime.detect.search import USUAL_LIMITS, SearchLimits


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingPlan:
    """The networks that a repository serves, their tasks, and how their engines run."""

    weights: Path = WEIGHTS  # an exported network, which the CPU's default backend runs as it is
    engine: Path | None = None  # instead of it: a directory that build.stages.compile left
    # Of exported networks: what was chosen; None: decided where the repository is assembled, by what the
    # processor has and the acceptance gate finds. A built engine has its own.
    precision: Precision | None = None
    threads: int | None = None  # of the exported network on the CPU; None or 0: every core
    instances: int | None = None  # of a GPU's engine on each GPU; None: one
    gpus: tuple[int, ...] | None = None  # the GPUs' numbers; None: every one
    # "NAME.TASK" is a task of the further network NAME; None: those served by default.
    tasks: tuple[str, ...] | None = None
    # By the names that their models begin with: engine directories, or exported networks (.onnx).
    further_networks: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    detector: Path | None = None  # the face detector's .tflite; None: the installed package's
    max_faces: int | None = None  # the most that are answered of one photo; None: the usual number
    min_face: float | None = None  # the smallest that requests may look for; None: the usual share
    host_settings: Path | None = None  # a file of `build.serving.host_settings`; None: this host's defaults
    notice: str | None = None  # of every model that answers; None: the default one
    # What decodes and warps faces; None: on a GPU DALI, where it is installed or its pipeline is given.
    preprocessing: Preprocessing | None = None
    dali_pipeline: Path | None = None  # one that `python -m build.preprocessing` wrote

    def __post_init__(self) -> None:
        if self.notice is not None:
            check_notice(self.notice, where="of the plan")
        if self.preprocessing == "opencv" and self.dali_pipeline is not None:
            raise BuildError("--preprocessing opencv has no use for --dali-pipeline: leave out one of them")
        if self.engine is not None and self.threads is not None:
            cpu = default_backend("cpu")
            raise BuildError(
                f"--threads is for {cpu.title} in {cpu.default_precision} without `make engine`: a built "
                "engine has the cores that it was measured with, so build it again with "
                '`make engine ARGS="--threads N"`'
            )
        default = default_backend("cpu")
        if self.precision not in (None, default.default_precision):
            raise BuildError(
                f"{default.title} runs an exported network in {default.default_precision}, or in what the "
                f"acceptance gate accepts by itself: build one in {self.precision} with `make engine`"
            )
        if self.engine is None and (self.gpus is not None or self.instances is not None):
            raise BuildError(
                "--gpus and --instances are for a GPU's engine: choose one with "
                f"--target {default_backend('gpu').name}"
            )
        try:
            _ = self.limits
        except ValueError as error:
            raise BuildError(str(error)) from None

    @property
    def limits(self) -> SearchLimits:
        """The bounds of requests' parameters."""
        return SearchLimits(
            max_faces=USUAL_LIMITS.max_faces if self.max_faces is None else self.max_faces,
            min_face=USUAL_LIMITS.min_face if self.min_face is None else self.min_face,
        )

    def to_json(self) -> dict[str, Any]:
        """As it is recorded. Paths below the project are written from there."""
        return {
            "weights": shown(self.weights) if self.engine is None else None,
            "engine": _shown(self.engine),
            "precision": self.precision,
            "threads": self.threads,
            "instances": self.instances,
            "gpus": None if self.gpus is None else list(self.gpus),
            "tasks": None if self.tasks is None else list(self.tasks),
            "also": {name: shown(path) for name, path in self.further_networks.items()},
            "detector": _shown(self.detector),
            "max_faces": self.max_faces,
            "min_face": self.min_face,
            "settings": _shown(self.host_settings),
            "notice": self.notice,
            "preprocessing": self.preprocessing,
            "dali_pipeline": _shown(self.dali_pipeline),
        }

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> "ServingPlan":
        """What `to_json` recorded; KeyError or TypeError for anything else."""
        return cls(
            weights=_path(recorded["weights"]) or WEIGHTS,
            engine=_path(recorded["engine"]),
            threads=recorded["threads"],
            instances=recorded["instances"],
            gpus=None if recorded["gpus"] is None else tuple(recorded["gpus"]),
            tasks=None if recorded["tasks"] is None else tuple(recorded["tasks"]),
            further_networks={name: ROOT / path for name, path in dict(recorded["also"]).items()},
            detector=_path(recorded["detector"]),
            # Plans that were recorded before these could be set have none of them.
            precision=recorded.get("precision"),
            max_faces=recorded.get("max_faces"),
            min_face=recorded.get("min_face"),
            host_settings=_path(recorded.get("settings")),
            notice=recorded.get("notice"),
            preprocessing=recorded.get("preprocessing"),
            dali_pipeline=_path(recorded.get("dali_pipeline")),
        )


def recorded_plan(repository: Path) -> ServingPlan:
    """The plan of an assembled repository; the default one where there is no repository.

    One that was assembled before plans were recorded is planned by its shipped network alone: whoever serves
    a network that may be used for anything must not get back one for research only.
    """
    try:
        manifest = read_manifest(repository)
    except BuildError:
        return ServingPlan()
    try:
        return ServingPlan.from_json(manifest[PLAN])
    except (BuildError, KeyError, TypeError, ValueError):
        print(
            f"{repository} was assembled without a serving plan that can be read: only its shipped network "
            "is kept: give TARGET=, PRECISION=, SERVED_TASKS= or --also once more",
            file=sys.stderr,
        )
        checkpoint = shipped_checkpoint(repository)
        return ServingPlan() if checkpoint is None else ServingPlan(weights=checkpoint.with_suffix(".onnx"))


def shipped_checkpoint(repository: Path) -> Path | None:
    """The checkpoint in weights/ that a repository's first network came from; None where it is none of them.

    BuildError where that is no repository.
    """
    stages = read_manifest(repository).get("stages") or {}
    sha256 = (stages.get("checkpoint") or {}).get("sha256")
    shipped = sorted(WEIGHTS.parent.glob("*.safetensors"))
    return next((path for path in shipped if hashlib.sha256(path.read_bytes()).hexdigest() == sha256), None)


def _shown(path: Path | None) -> str | None:
    return None if path is None else shown(path)


def _path(recorded: str | None) -> Path | None:
    return None if recorded is None else ROOT / recorded
