"""Inference on the CPU through OpenVINO, at an explicit precision.

By default OpenVINO takes bfloat16 where the processor has it; answers would then depend on the
machine. So every engine is compiled with an explicit INFERENCE_PRECISION_HINT.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "openvino"
# What the layers run in whose type the file leaves open: in a quantised network, those that stayed
# floating point. On a processor without bfloat16 they run in fp32.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "bf16"}

# OpenVINO keeps what it made for each layer and each size of a batch, up to 5,000 of them by default: a
# detector that meets all sizes from 1 to 32 grows from 140 to 400 MiB, and to 300 with so few; the sizes that
# come most are still there, and cost the same.
_EXECUTORS = 300


def load(directory: Path, parameters: Mapping[str, str]) -> "OpenVinoEngine":
    """The network in a version directory; see `runtime.engines.load_engine`."""
    return OpenVinoEngine(
        directory / parameters["file"],
        precision=parameters["precision"],
        threads=int(parameters["threads"]) or None,
        streams=int(parameters["streams"]),
    )


class OpenVinoEngine:
    """A compiled ONNX, IR or TFLite model with named inputs and outputs and a free batch size.

    Thread-safe: every call takes an inference request of its own.
    """

    def __init__(self, model: Any, *, precision: str, threads: int | None = None, streams: int = 1) -> None:
        """Compiles `model`: a file's path, or an openvino.Model. `threads` bounds its cores (None: all).

        A batch is divided over `streams`, which share those cores: 1 is right unless measured otherwise.
        Raises FileNotFoundError where there is no such file, ValueError for an unknown precision or no
        stream.
        """
        import openvino

        if isinstance(model, str | Path):
            model = read_model(model)
        if precision not in _HINTS:
            raise ValueError(f"Precision {precision!r} is not known; use one of {', '.join(_HINTS)}.")
        if streams < 1:
            raise ValueError(f"{streams} streams can't run; use 1 or more.")
        self._streams = streams
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": getattr(openvino.Type, _HINTS[precision]),
            "NUM_STREAMS": streams,
            # Engine and detector are processes of their own: pinned, both would sit on the same cores.
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": _EXECUTORS,
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        self._compiled = openvino_core().compile_model(model, "CPU", config)
        self.precision = precision
        # What it came to: fp32's where the processor lacks what the hint asks for.
        self.hint: str = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.inputs: tuple[str, ...] = tuple(port.any_name for port in self._compiled.inputs)
        self.outputs: tuple[str, ...] = tuple(port.any_name for port in self._compiled.outputs)

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Runs the model once on named inputs; returns the named outputs (all of them by default).

        The arrays are copies, so they stay valid. Raises RuntimeError for an unknown output.
        """
        rows = min(len(values) for values in inputs.values())
        count = max(1, min(self._streams, rows))
        parts = {name: np.array_split(values, count) for name, values in inputs.items()}
        requests = [self._compiled.create_infer_request() for _ in range(count)]
        for number, request in enumerate(requests):
            request.start_async({name: values[number] for name, values in parts.items()}, share_inputs=True)
        for request in requests:
            request.wait()
        return {
            name: np.concatenate([request.get_tensor(name).data for request in requests])
            for name in outputs or self.outputs
        }

    def executed_graph(self) -> Any:
        """The graph that OpenVINO really runs, as an openvino.Model whose nodes state their precision."""
        return self._compiled.get_runtime_model()


@functools.cache
def openvino_core() -> Any:
    """One for the whole process, and for as long as it lives.

    OpenVINO's CPU plugin sets the stack that signals are handled on. Were it unloaded with the last core,
    and by another thread, that stack would be gone and the next Ctrl-C a segmentation fault.
    """
    import openvino

    return openvino.Core()


def read_model(path: str | Path) -> Any:
    """The model in a file, as an openvino.Model. Raises FileNotFoundError where there is no such file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model file at {path}; build or copy it there first.")
    return openvino_core().read_model(str(path))
