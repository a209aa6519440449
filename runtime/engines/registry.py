"""The network as it is served on a CPU: a file, what runs it, and how."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from runtime.engines.onnxruntime import OnnxRuntimeEngine
from runtime.engines.openvino import OpenVinoEngine, Precision


class Engine(Protocol):
    """A network that is loaded."""

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The named outputs (None: all) for named inputs."""


def load_engine(directory: Path, parameters: Mapping[str, str]) -> Engine:
    """The network in a version directory, as the served model's parameters say.

    Those are `file`, `runtime` (openvino or onnxruntime), `precision`, `threads` (0: every core) and
    `streams`.
    """
    file, threads = directory / parameters["file"], int(parameters["threads"]) or None
    if parameters["runtime"] == "onnxruntime":
        return OnnxRuntimeEngine(file, threads=threads)
    return OpenVinoEngine(
        file,
        precision=cast(Precision, parameters["precision"]),
        threads=threads,
        streams=int(parameters["streams"]),
    )
