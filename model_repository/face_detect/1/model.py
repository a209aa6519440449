"""A photo -> the boxes, scores and landmarks of its faces."""

from runtime.serving.detect import FaceDetect


class TritonPythonModel(FaceDetect):
    """What Triton's Python backend looks for."""
