"""The network's heads -> answers in the photo's frame."""

from runtime.serving.postprocess import Postprocess


class TritonPythonModel(Postprocess):
    """What Triton's Python backend looks for."""
