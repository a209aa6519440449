"""The face detector's network on a CPU: tiles of a photo -> raw boxes and scores."""

from runtime.serving.engine import FaceDetector


class TritonPythonModel(FaceDetector):
    """What Triton's Python backend looks for."""
