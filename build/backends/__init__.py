"""The backends of the build: every module of this package but `base` defines one as `BACKEND`."""

import functools
import importlib
import pkgutil

from build.backends.base import Backend
from build.errors import BuildError
from build.serving.engine_settings import Device, EngineSettings

_INTERFACE = "base"


@functools.cache
def backends() -> dict[str, Backend]:
    """All backends by their names: the CPU's first, and of each device the default first."""
    found = list(_by_module().values())
    found.sort(key=lambda backend: (backend.device, not backend.is_default, backend.name))
    return {backend.name: backend for backend in found}


@functools.cache
def _by_module() -> dict[str, Backend]:
    """Each backend by the short name of the module that defines it."""
    return {
        module.name: importlib.import_module(f"{__name__}.{module.name}").BACKEND
        for module in pkgutil.iter_modules(__path__)
        if module.name != _INTERFACE and not module.ispkg
    }


def backend(name: str) -> Backend:
    """The backend of this name; else BuildError names the known ones."""
    if name not in backends():
        raise BuildError(f"the target {name!r} is unknown: choose from {', '.join(backends())}")
    return backends()[name]


def module_of(name: str) -> str:
    """The short name of the module of this package that defines the backend of this name."""
    found = backend(name)
    return next(module for module, other in _by_module().items() if other is found)


def backend_of(name: str, precision: str) -> Backend:
    """The backend of this name, if it can build an engine of this precision here; else BuildError."""
    found = backend(name)
    found.check_available(precision)
    return found


def default_backend(device: Device) -> Backend:
    """The backend for machines with this device, where none is named."""
    return next(found for found in backends().values() if found.device == device and found.is_default)


def default_precisions() -> str:
    """The precision of each backend where none is named, for people."""
    names: dict[str, list[str]] = {}
    for name, found in backends().items():
        names.setdefault(found.default_precision, []).append(name)
    return "; ".join(f"{precision} for {', '.join(of)}" for precision, of in names.items())


def servable_backends() -> dict[str, Backend]:
    """The backends whose engines Triton can serve, by their names."""
    return {name: found for name, found in backends().items() if found.servable}


def servable_backend(name: str) -> Backend:
    """The backend of this name, if Triton can serve its engines; else BuildError names those that it can."""
    if name not in servable_backends():
        raise BuildError(
            f"Triton can't serve the target {name!r}: choose from {', '.join(servable_backends())}"
        )
    return servable_backends()[name]


def served_on(device: Device, settings: EngineSettings) -> EngineSettings:
    """What runs where a server is started for this device.

    That is the engine itself, if it runs there. Otherwise a server on the CPU runs the exported network
    through the CPU's default backend, and one with GPUs expects an engine of the GPU's default backend.
    """
    if settings.backend.device == device:
        return settings
    return default_backend(device).settings(built_with={"threads": settings.threads})
