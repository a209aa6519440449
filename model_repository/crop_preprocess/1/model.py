"""An aligned crop as raw RGB -> the engine's pixels and the map back to the crop."""

from runtime.serving.preprocess import CropPreprocess


class TritonPythonModel(CropPreprocess):
    """What Triton's Python backend looks for."""
