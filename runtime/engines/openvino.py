"""Inference on the CPU through OpenVINO, at an explicit precision.

By default OpenVINO takes bfloat16 where the processor has it; answers would then depend on the
machine. So every engine is compiled with an explicit INFERENCE_PRECISION_HINT.
"""

import functools
import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Inputs = Mapping[str, NDArray[Any]]

NAME = "openvino"
# What the layers run in whose type the file leaves open: in a quantised network, those that stayed
# floating point. On a processor without bfloat16 they run in fp32.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "bf16"}

# A batch is cut into parts of these sizes. Compiled for one size, a network takes up to a tenth less
# processor time than compiled for any, most where sizes change from one batch to the next. Larger parts gain
# nothing.
BATCHES = (8, 4, 2, 1)
# Each size has a copy of the weights: a network with a larger file is compiled once, for batches of any size.
LARGEST_FILE = 64 * 2**20

# OpenVINO keeps what it made for each layer and each size of a batch, up to 5,000 of them by default: a
# detector that meets all sizes from 1 to 32 grows from 140 to 400 MiB, and to 300 with so few; the sizes that
# come most are still there, and cost the same.
_EXECUTORS = 300


def load(directory: Path, parameters: Mapping[str, str]) -> "OpenVinoEngine":
    """The network in a version directory, ready for any batch; see `runtime.engines.load_engine`."""
    path = directory / parameters["file"]
    engine = OpenVinoEngine(
        path,
        precision=parameters["precision"],
        threads=int(parameters["threads"]) or None,
        streams=int(parameters["streams"]),
        batches=batches_for(path),
    )
    engine.prepare()
    return engine


def batches_for(network: Path) -> tuple[int, ...]:
    """The sizes that a network's file is served in; none where it is compiled for any size."""
    files = [path for path in (network, network.with_suffix(".bin")) if path.is_file()]
    return BATCHES if sum(path.stat().st_size for path in files) <= LARGEST_FILE else ()


def batch_parts(rows: int, *, streams: int, sizes: Sequence[int]) -> list[int]:
    """The parts that a batch is cut into, so that all streams have about as much to do.

    sizes: that the network is compiled for, the largest first; none where it is compiled for any.
    """
    streams = max(1, min(streams, rows))
    if not sizes:
        return [(rows + number) // streams for number in reversed(range(streams))]
    share = -(-rows // streams)
    parts: list[int] = []
    for size in sizes:
        if size <= share:
            parts += [size] * ((rows - sum(parts)) // size)
    return parts


class OpenVinoEngine:
    """A compiled ONNX, IR or TFLite model with named inputs and outputs and a free batch size.

    Thread-safe: every call takes inference requests that no other one uses.
    """

    def __init__(
        self,
        model: Any,
        *,
        precision: str,
        threads: int | None = None,
        streams: int = 1,
        batches: Sequence[int] = (),
    ) -> None:
        """Compiles `model`: a file's path, or an openvino.Model. `threads` bounds its cores (None: all).

        A batch is divided over `streams`, which share those cores. It is cut into parts of the sizes
        `batches`, 1 among them, each of which is compiled when it first comes, or by `prepare`; without any
        the model is compiled once for all sizes. Raises FileNotFoundError where there is no such file,
        ValueError for an unknown precision, no stream, or sizes that can't make up every batch.
        """
        import openvino

        if isinstance(model, str | Path):
            model = read_model(model)
        if precision not in _HINTS:
            raise ValueError(f"Precision {precision!r} is not known; use one of {', '.join(_HINTS)}.")
        if streams < 1:
            raise ValueError(f"{streams} streams can't run; use 1 or more.")
        if batches and min(batches) != 1:
            raise ValueError(f"Batches of {min(batches)} and more can't make up every batch; add 1.")
        self._streams = streams
        self._batches = tuple(sorted(batches, reverse=True))
        self._config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": getattr(openvino.Type, _HINTS[precision]),
            "NUM_STREAMS": streams,
            # Engine and detector are processes of their own: pinned, both would sit on the same cores.
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": _EXECUTORS,
        }
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads
        self._model = model
        self._compiled: dict[int | None, Any] = {}  # by the size of a batch; None: of any
        self._compiling = threading.Lock()
        # Inference requests that no call uses, as one takes time to make.
        self._free: defaultdict[Any, deque[Any]] = defaultdict(deque)  # by the compiled model
        compiled = self._compiled_for(1)
        self.precision = precision
        # What it came to: fp32's where the processor lacks what the hint asks for.
        self.hint: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.inputs: tuple[str, ...] = tuple(port.any_name for port in compiled.inputs)
        self.outputs: tuple[str, ...] = tuple(port.any_name for port in compiled.outputs)

    def prepare(self) -> None:
        """Compiles every size, so that no batch has to wait for that."""
        for size in self._batches:
            self._compiled_for(size)

    def infer(self, inputs: Inputs, *, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Runs the model once on named inputs; returns the named outputs (all of them by default).

        The arrays are copies, so they stay valid; the inputs may be kept until a later call. Raises
        RuntimeError for an unknown output.
        """
        names = outputs or self.outputs
        rows = min(len(values) for values in inputs.values())
        sizes = batch_parts(rows, streams=self._streams, sizes=self._batches)
        parts = [
            (self._compiled_for(size), {name: values[end - size : end] for name, values in inputs.items()})
            for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)
        ]
        if len(parts) > 1 and self._streams > 1:
            return self._side_by_side(parts, names)
        answers = [self._alone(*part, names) for part in parts]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in names}

    def _alone(self, compiled: Any, part: Inputs, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        request = self._take_request(compiled)
        # Not start_async and wait: handing the call to another thread costs more.
        request.infer(part, share_inputs=True, share_outputs=True)
        answer = {name: request.get_tensor(name).data.copy() for name in names}
        self._free[compiled].append(request)
        return answer

    def _side_by_side(
        self, parts: Sequence[tuple[Any, Inputs]], names: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        requests: list[Any] = []
        for number, (compiled, part) in enumerate(parts):
            if number >= self._streams:  # no more at once than there are streams, whatever their sizes
                requests[number - self._streams].wait()
            requests.append(self._take_request(compiled))
            requests[-1].start_async(part, share_inputs=True)
        for request in requests[-self._streams :]:
            request.wait()
        answers = {
            name: np.concatenate([request.get_tensor(name).data for request in requests]) for name in names
        }
        for (compiled, _), request in zip(parts, requests, strict=True):
            self._free[compiled].append(request)
        return answers

    def _take_request(self, compiled: Any) -> Any:
        """A request that no call uses. One whose call fails is not given back: a later call makes another."""
        try:
            return self._free[compiled].pop()
        except IndexError:
            return compiled.create_infer_request()

    def _compiled_for(self, size: int) -> Any:
        key = size if self._batches else None
        with self._compiling:
            if key not in self._compiled:
                model = self._model
                if key is not None:
                    model = model.clone()
                    model.reshape({port: [key, *list(port.partial_shape)[1:]] for port in model.inputs})
                self._compiled[key] = openvino_core().compile_model(model, "CPU", self._config)
            return self._compiled[key]

    def executed_graph(self) -> Any:
        """The graph that OpenVINO really runs, as an openvino.Model whose nodes state their precision."""
        return self._compiled_for(1).get_runtime_model()


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
