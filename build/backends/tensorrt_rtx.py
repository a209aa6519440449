"""TensorRT-RTX's engine: it proves on any machine that TensorRT's parser and builder take the network."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.backends.tensorrt_tools.plan_backend import PlanBackend
from build.errors import BuildError


class TensorRtRtx(PlanBackend):
    """TensorRT-RTX. It builds without a GPU, and Triton has no backend for what it builds."""

    name = "tensorrt-rtx"
    title = "TensorRT-RTX"
    servable = False
    caches_timings = False

    def load_module(self) -> Any:
        """TensorRT-RTX's module."""
        try:
            return importlib.import_module("tensorrt_rtx")
        except (ImportError, OSError) as error:  # OSError: a library of its own is missing
            raise BuildError(
                f"TensorRT-RTX can't be loaded ({error}), and nothing else was built: "
                "run this with the Python of .venv"
            ) from None

    def check_gpus(self, versions: Mapping[str, str]) -> None:
        """Any machine will do: the plan is not served."""

    def unopened(self, path: Path, reason: str) -> str:
        """It opens plans on some GPUs only."""
        return "a GPU that TensorRT-RTX knows"


BACKEND = TensorRtRtx()
