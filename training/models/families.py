"""The families of networks: each package in this folder that defines `FAMILY` is one.

A new family is one package: its configuration (a subclass of `NetworkConfig`), its network (a subclass of
`FaceNetwork`), and a `FAMILY` in its `__init__.py`.
"""

import importlib
import pkgutil

from training.models.config import NetworkConfig
from training.models.network import FaceNetwork, Family


def _found() -> dict[str, Family]:
    package = __name__.rpartition(".")[0]
    search_path = importlib.import_module(package).__path__
    names = sorted(module.name for module in pkgutil.iter_modules(search_path) if module.ispkg)
    modules = [importlib.import_module(f"{package}.{name}") for name in names]
    families: list[Family] = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return {family.name: family for family in families}


FAMILIES = _found()
CONFIGS: dict[str, NetworkConfig] = {
    name: config for family in FAMILIES.values() for name, config in family.configs.items()
}


def build_model(config: NetworkConfig) -> FaceNetwork:
    """The network of a configuration, with random weights (torch's generator decides them)."""
    return FAMILIES[config.family].build(config)
