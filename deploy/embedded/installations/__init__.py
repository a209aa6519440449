"""The Tritons that can be started: the one in a wheel, and one in a folder, as NVIDIA's image has it."""

from pathlib import Path

from deploy.embedded.installations.base import RunnableTriton, TritonInstallation
from deploy.embedded.installations.folder import FolderTriton
from deploy.embedded.installations.wheel import WheelTriton

__all__ = ["RunnableTriton", "TritonInstallation", "triton_in"]


def triton_in(folder: Path | None) -> TritonInstallation:
    """The Triton that is installed in a folder; None: that of the wheel nvidia-pytriton."""
    return WheelTriton() if folder is None else FolderTriton(folder)
