"""Inference through ONNX Runtime on the CPU.

The precision is the network's own: ONNX Runtime runs each node in the type that the file states.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "onnxruntime"


def load(directory: Path, parameters: Mapping[str, str]) -> "OnnxRuntimeEngine":
    """The network in a version directory; see `runtime.engines.load_engine`."""
    return OnnxRuntimeEngine(directory / parameters["file"], threads=int(parameters["threads"]) or None)


class OnnxRuntimeEngine:
    """An ONNX model with named inputs and outputs and a free batch size.

    Thread-safe, as ONNX Runtime's sessions are.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int | None = None,
        save_optimised: Path | None = None,
    ) -> None:
        """Loads the model at `path`. `threads` bounds the processor's cores taken (None: all).

        `save_optimised` is where the graph that is really run is written to.
        Raises FileNotFoundError where there is no such file.
        """
        import onnxruntime

        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no model file at {path}; build or copy it there first.")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings are for the developers of ONNX Runtime
        if threads is not None:
            options.intra_op_num_threads = threads
        # Waiting threads would spin on the cores that the other served models need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if save_optimised is not None:
            options.optimized_model_filepath = str(save_optimised)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs: tuple[str, ...] = tuple(port.name for port in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(port.name for port in self._session.get_outputs())

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Runs the model once on named inputs; returns the named outputs (all of them by default)."""
        names = list(outputs or self.outputs)
        contiguous = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        return dict(zip(names, self._session.run(names, contiguous), strict=True))
