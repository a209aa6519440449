"""Encoded pictures, windows and matrices -> crops, where there is no GPU."""

from runtime.serving.warp import FaceWarp


class TritonPythonModel(FaceWarp):
    """What Triton's Python backend looks for."""
