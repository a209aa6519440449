"""Whether the libraries that read pictures and compute are those of the server."""

import contextlib
import importlib
import importlib.metadata
import json
import re
from pathlib import Path

from .._telemetry.log import LOG, one_line

# Another release of these gives other pixels, or other numbers. OpenCV comes in several packages: the module
# shows which one is used.
_COMPUTING = {"opencv-python-headless": "cv2", "openvino": None, "simplejpeg": None}
_PINNED = re.compile(r"([a-z-]+)(?:==|~=)([\d.]+)")


def warn_of_others(source: Path) -> None:
    """One line in the log where answers may differ from those of a server with this repository."""
    installed, served = installed_versions(), _recorded(source) or _pinned()
    others = [
        name for name in installed if name in served and _release(installed[name]) != _release(served[name])
    ]
    if others:
        found = ", ".join(f"{name} {installed[name]} (served: {one_line(served[name])})" for name in others)
        command = " ".join(f'"{name}=={one_line(served[name])}"' for name in others)
        LOG.warning(
            "LocalFaceClient has other libraries than a server of %s, so its answers may differ: %s; "
            "pip install %s",
            source,
            found,
            command,
        )


def _recorded(source: Path) -> dict[str, str]:
    """The versions that a repository was assembled with; none of an ONNX file, or where none are recorded."""
    try:
        versions = json.loads((source / "manifest.json").read_text(encoding="utf-8"))["versions"]
        return {name: str(version) for name, version in versions.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _pinned() -> dict[str, str]:
    """The versions that the extra `local` requires."""
    try:
        lines = importlib.metadata.requires("qface-client") or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {found[1]: found[2] for line in lines if (found := _PINNED.match(line))}


def installed_versions() -> dict[str, str]:
    """The versions of the libraries that read pictures and compute, of those that are installed."""
    versions = {}
    for name, module in _COMPUTING.items():
        with contextlib.suppress(ImportError):  # PackageNotFoundError is one
            versions[name] = (
                importlib.import_module(module).__version__ if module else importlib.metadata.version(name)
            )
    return versions


def _release(version: str) -> list[str]:
    return version.split(".")[:2]
