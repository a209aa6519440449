"""The networks: `build_model` puts one together from a configuration."""

from training.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.models.config import NetworkConfig
from training.models.export_wrapper import ExportWrapper
from training.models.facexformer import FaceXFormer, FaceXFormerConfig
from training.models.families import CONFIGS, FAMILIES, build_model
from training.models.network import FaceNetwork, ModelOutput
from training.models.qface import MultiHead, QFace, QFaceConfig, build_qface

__all__ = [
    "CONFIGS",
    "FAMILIES",
    "Checkpoint",
    "ExportWrapper",
    "FaceNetwork",
    "FaceXFormer",
    "FaceXFormerConfig",
    "ModelOutput",
    "MultiHead",
    "NetworkConfig",
    "QFace",
    "QFaceConfig",
    "build_model",
    "build_qface",
    "load_checkpoint",
    "save_checkpoint",
]
