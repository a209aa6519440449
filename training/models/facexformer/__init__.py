"""FaceXFormer (Narayan et al. 2024): the released network, its conversion, and what training needs of it."""

from training.models.facexformer.config import CONFIGS, FaceXFormerConfig
from training.models.facexformer.network import FaceXFormer
from training.models.network import Family

FAMILY = Family(name=FaceXFormerConfig.family, config=FaceXFormerConfig, build=FaceXFormer, configs=CONFIGS)

__all__ = ["CONFIGS", "FAMILY", "FaceXFormer", "FaceXFormerConfig"]
