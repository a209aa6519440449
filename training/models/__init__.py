"""The networks: `build_qface` puts Q-Face together from its parts."""

from training.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.models.outputs import ExportWrapper
from training.models.qface import CONFIGS, QFace, QFaceConfig, build_qface

__all__ = [
    "CONFIGS",
    "Checkpoint",
    "ExportWrapper",
    "QFace",
    "QFaceConfig",
    "build_qface",
    "load_checkpoint",
    "save_checkpoint",
]
