"""The networks: `build_model` puts one together from a configuration."""

from training.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.models.config import CONFIGS, Config, FaceXFormerConfig, QFaceConfig
from training.models.export_wrapper import ExportWrapper
from training.models.facexformer.network import FaceXFormer
from training.models.multi_head import MultiHead
from training.models.network import FaceNetwork
from training.models.qface import QFace, build_model, build_qface

__all__ = [
    "CONFIGS",
    "Checkpoint",
    "Config",
    "ExportWrapper",
    "FaceNetwork",
    "FaceXFormer",
    "FaceXFormerConfig",
    "MultiHead",
    "QFace",
    "QFaceConfig",
    "build_model",
    "build_qface",
    "load_checkpoint",
    "save_checkpoint",
]
