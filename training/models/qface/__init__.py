"""Q-Face: one encoder, multi-stage fusion, and a learnable query for every label; and its baselines.

Sun, He, Shan, Han and Chen, "Task-adaptive Q-Face".
"""

from training.models.network import Family
from training.models.qface.build import build, build_qface
from training.models.qface.config import CONFIGS, QFaceConfig
from training.models.qface.multi_head import MultiHead
from training.models.qface.network import QFace

FAMILY = Family(name=QFaceConfig.family, config=QFaceConfig, build=build, configs=CONFIGS)

__all__ = ["CONFIGS", "FAMILY", "MultiHead", "QFace", "QFaceConfig", "build_qface"]
