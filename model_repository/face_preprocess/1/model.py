"""An encoded picture, a box and five landmarks -> the engine's pixels and the map back to the photo."""

from runtime.serving.preprocess import FacePreprocess


class TritonPythonModel(FacePreprocess):
    """What Triton's Python backend looks for."""
