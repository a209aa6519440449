"""Inference through ONNX Runtime, on the CPU or on an NVIDIA GPU.

The precision is the network's own: ONNX Runtime runs each node in the type that the file says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Device = Literal["cpu", "cuda"]
_CUDA = "CUDAExecutionProvider"
_NO_CUDA = "ONNX Runtime has no CUDA here; install onnxruntime-gpu, or use the CPU."


class OnnxRuntimeEngine:
    """An ONNX model with named inputs and outputs and a free batch size.

    Thread-safe, as ONNX Runtime's sessions are.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int | None = None,
        device: Device = "cpu",
        tf32: bool = True,
        save_optimised: Path | None = None,
    ) -> None:
        """Loads the model at `path`. `threads` bounds the processor's cores taken (None: all).

        `tf32` lets a GPU round the factors of fp32 products to 10 bits; the CPU never does.
        `save_optimised` is where the graph that is really run is written to. `device` "cuda" was not
        run on a GPU yet.
        Raises FileNotFoundError where there is no such file, RuntimeError where there is no CUDA.
        """
        import onnxruntime

        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no model file at {path}; build or copy it there first.")
        if device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
            raise RuntimeError(_NO_CUDA)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings are for who develops ONNX Runtime
        if threads is not None:
            options.intra_op_num_threads = threads
        # Waiting threads would spin on the cores that the other served models need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if save_optimised is not None:
            options.optimized_model_filepath = str(save_optimised)
        providers: list[Any] = ["CPUExecutionProvider"]
        if device == "cuda":
            providers.insert(0, (_CUDA, {"use_tf32": str(int(tf32))}))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        # Where CUDA can't start, a session falls back to the CPU with no more than a line in a log.
        if device == "cuda" and _CUDA not in self._session.get_providers():
            raise RuntimeError(_NO_CUDA)
        self.inputs: tuple[str, ...] = tuple(port.name for port in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(port.name for port in self._session.get_outputs())

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Runs the model once on named inputs; answers the named outputs (all of them by default)."""
        names = list(outputs or self.outputs)
        contiguous = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        return dict(zip(names, self._session.run(names, contiguous), strict=True))
