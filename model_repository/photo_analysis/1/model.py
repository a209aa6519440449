"""A photo -> its faces and every answer about each of them."""

from runtime.serving.photo import PhotoAnalysis


class TritonPythonModel(PhotoAnalysis):
    """What Triton's Python backend looks for."""
