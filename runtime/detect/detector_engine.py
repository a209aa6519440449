"""The detector's file as an OpenVINO engine."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import CANVASES, LOGITS, REGRESSORS
from runtime.detect.canvases import FIRST_SHAPE
from runtime.engines.openvino import OpenVinoEngine, read_model

_FILE_SIDE = 192  # of the canvas that the file fixes


class DetectorEngine:
    """The detector, compiled for each shape of canvases when it first meets it. Thread-safe.

    There are few of them (`runtime.detect.canvases`), and one network for all shapes costs nearly twice as
    much where they take turns.
    """

    def __init__(self, model: Any, *, precision: str, threads: int | None) -> None:
        self._model = model
        self._precision, self._threads = precision, threads
        self._engines: dict[tuple[int, ...], OpenVinoEngine] = {}
        self._compiling = threading.Lock()
        self.hint = self._engine_for((1, *FIRST_SHAPE, 3)).hint  # what it really computes in

    def infer(self, canvases: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """`regressors` FP32 [B, N, 16] and `logits` FP32 [B, N, 1] for canvases [B, H, W, 3] uint8 RGB.

        H and W are multiples of 32, N is the number of cells (`runtime.detect.blazeface`).
        """
        return self._engine_for(canvases.shape).infer({CANVASES: canvases})

    def _engine_for(self, shape: tuple[int, ...]) -> OpenVinoEngine:
        with self._compiling:
            if shape not in self._engines:
                model = self._model.clone()
                model.reshape(list(shape))
                self._engines[shape] = OpenVinoEngine(model, precision=self._precision, threads=self._threads)
            return self._engines[shape]


def load_detector(path: str | Path, *, precision: str = "fp32", threads: int | None = None) -> DetectorEngine:
    """The BlazeFace full-range detector at `path` (.tflite), ready for `runtime.detect.faces`.

    `threads` bounds its cores (None: all). Raises ValueError where the model's tensors are not those of that
    detector, FileNotFoundError where there is no such file.
    """
    return DetectorEngine(read_detector_model(path), precision=precision, threads=threads)


def read_detector_model(path: str | Path) -> Any:
    """The detector for any number and size of canvases: UINT8 input, scaled to -1..1, names of our own."""
    import openvino
    from openvino import opset13
    from openvino.preprocess import PrePostProcessor

    names = {16: REGRESSORS, 1: LOGITS}
    try:
        model = read_model(path)
        shapes = [tuple(port.shape) for port in model.outputs]
        is_detector = tuple(model.input().shape) == (1, _FILE_SIDE, _FILE_SIDE, 3)
    except RuntimeError:  # OpenVINO's, of what is no network, or one of another form
        is_detector = False
    if not is_detector or sorted(shape[-1] for shape in shapes) != sorted(names):
        raise ValueError(
            f"{path} is not the BlazeFace full-range detector; take face_detection_full_range*.tflite."
        )
    # The file fixes its canvas in two places: where the network enlarges, and in the last reshapes.
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Interpolate":
            node.output(0).replace(_doubled(node).output(0))
    for result, shape in zip(model.get_results(), shapes, strict=True):
        cells = result.input_value(0).get_node().input_value(0)
        flat = opset13.reshape(cells, opset13.constant(np.array([0, -1, shape[-1]])), special_zero=True)
        result.input(0).replace_source_output(flat.output(0))
        for tensor in (result.output(0).get_tensor(), flat.output(0).get_tensor()):
            tensor.set_names({names[shape[-1]]})
    model.input().get_tensor().set_names({CANVASES})
    model.reshape([-1, -1, -1, 3])
    model.validate_nodes_and_infer_types()
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(127.5).scale(127.5)
    return steps.build()


def _doubled(node: Any) -> Any:
    """An enlargement [B, H, W, C] to a fixed size as one by the factor 2, which it is at the file's size."""
    from openvino import opset11, opset13

    attributes = node.get_attributes()
    return opset11.interpolate(
        node.input_value(0),
        opset13.constant(np.array([2.0, 2.0], dtype=np.float32)),
        attributes["mode"],
        "scales",
        axes=opset13.constant(np.array([1, 2])),
        coordinate_transformation_mode=attributes["coordinate_transformation_mode"],
        nearest_mode=attributes["nearest_mode"],
    )
