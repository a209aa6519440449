"""Fixtures of the tests of networks."""

import pytest
import torch

from tests.helpers.networks.small_networks import SMALL_VIT
from training.models import QFace, build_qface


@pytest.fixture(scope="package")
def vit() -> QFace:
    torch.manual_seed(0)
    return build_qface(SMALL_VIT).eval()
