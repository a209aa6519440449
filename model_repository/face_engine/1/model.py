"""The network on a CPU (configs/cpu.pbtxt): pixels -> one head a task."""

from runtime.serving.engine import FaceEngine


class TritonPythonModel(FaceEngine):
    """What Triton's Python backend looks for."""
