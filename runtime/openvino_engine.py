"""Inference on the CPU through OpenVINO, at a precision that is always said and never guessed.

Left alone, OpenVINO takes bfloat16 where the processor has it; answers would then depend on the
machine. So every engine is compiled with an explicit INFERENCE_PRECISION_HINT.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.detect import LOGITS, REGRESSORS, TILE_SIZE, TILES

Precision = Literal["fp32", "bf16", "fp16"]


class OpenVinoEngine:
    """A compiled ONNX, IR or TFLite model with named inputs and outputs and a free batch size.

    Thread-safe: every call takes an inference request of its own.
    """

    def __init__(self, path: str | Path, *, precision: Precision, threads: int | None = None) -> None:
        """Compiles the model at `path`. `threads` bounds the processor's cores taken (None: all).

        Raises FileNotFoundError where there is no such file, ValueError for an unknown precision.
        """
        self._compile(_read_model(path), precision=precision, threads=threads)

    @classmethod
    def for_detector(
        cls, path: str | Path, *, precision: Precision = "fp32", threads: int | None = None
    ) -> "OpenVinoEngine":
        """The BlazeFace full-range detector at `path` (.tflite), ready for `runtime.detect`.

        Input `tiles` UINT8 [T, 192, 192, 3] RGB (the graph normalises to -1..1 itself); outputs
        `regressors` FP32 [T, 2304, 16] and `logits` FP32 [T, 2304, 1].
        Raises ValueError where the model's tensors are not those of that detector.
        """
        engine = cls.__new__(cls)
        engine._compile(_detector_model(path), precision=precision, threads=threads)
        return engine

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Runs the model once on named inputs; answers the named outputs (all of them by default).

        The arrays answered are copies, so they stay valid. Raises KeyError for an unknown output.
        """
        request = self._compiled.create_infer_request()
        request.infer(dict(inputs))
        return {name: np.array(request.get_tensor(name).data) for name in outputs or self.outputs}

    def _compile(self, model: Any, *, precision: Precision, threads: int | None) -> None:
        import openvino

        hints = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16, "fp16": openvino.Type.f16}
        if precision not in hints:
            raise ValueError(f"Precision {precision!r} is not known; use one of {', '.join(hints)}.")
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": hints[precision],
            # Engine and detector are processes of their own: pinned, both would sit on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        self._compiled = openvino.Core().compile_model(model, "CPU", config)
        self.precision = precision
        self.inputs: tuple[str, ...] = tuple(port.any_name for port in self._compiled.inputs)
        self.outputs: tuple[str, ...] = tuple(port.any_name for port in self._compiled.outputs)


def _read_model(path: str | Path) -> Any:
    import openvino

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model file at {path}; build or copy it there first.")
    return openvino.Core().read_model(str(path))


def _detector_model(path: str | Path) -> Any:
    """The detector with a free batch size, UINT8 input and names of our own."""
    import openvino
    from openvino import opset13
    from openvino.preprocess import PrePostProcessor

    model = _read_model(path)
    names = {16: REGRESSORS, 1: LOGITS}
    shapes = [tuple(port.shape) for port in model.outputs]
    if tuple(model.input().shape) != (1, TILE_SIZE, TILE_SIZE, 3) or sorted(s[-1] for s in shapes) != sorted(
        names
    ):
        raise ValueError(
            f"{path} is not the BlazeFace full-range detector; take face_detection_full_range*.tflite."
        )
    model.reshape([-1, TILE_SIZE, TILE_SIZE, 3])
    for result, shape in zip(model.get_results(), shapes, strict=True):
        # The file's last reshapes fix the batch at 1, which would fold all tiles into one.
        reshape = result.input_value(0).get_node()
        target = opset13.constant(np.array([-1, *shape[1:]], dtype=np.int64))
        reshape.input(1).replace_source_output(target.output(0))
        result.output(0).get_tensor().set_names({names[shape[-1]]})
        reshape.output(0).get_tensor().set_names({names[shape[-1]]})
    model.input().get_tensor().set_names({TILES})
    model.validate_nodes_and_infer_types()
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(127.5).scale(127.5)
    return steps.build()
