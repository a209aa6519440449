"""The face detector's weights as an input of the build."""

import importlib.metadata
from pathlib import Path

from build.errors import BuildError
from runtime.detect import detector_file


def find_detector() -> Path:
    """The .tflite file of the installed package; BuildError when it is not installed."""
    try:
        return detector_file.find_detector()
    except FileNotFoundError as error:
        raise BuildError(str(error)) from None


def package_version() -> str:
    """The installed package's version."""
    return importlib.metadata.version(detector_file.PACKAGE)
