"""The detector's file as an OpenVINO engine."""

from pathlib import Path
from typing import Any

import numpy as np

from runtime.detect.blazeface import LOGITS, REGRESSORS, TILE_SIZE, TILES
from runtime.engines.openvino import OpenVinoEngine, read_model


def load_detector(
    path: str | Path, *, precision: str = "fp32", threads: int | None = None, streams: int = 1
) -> OpenVinoEngine:
    """The BlazeFace full-range detector at `path` (.tflite), ready for `runtime.detect.faces`.

    Input `tiles` UINT8 [T, 192, 192, 3] RGB (the graph normalises to -1..1 itself); outputs `regressors`
    FP32 [T, 2304, 16] and `logits` FP32 [T, 2304, 1].
    Raises ValueError where the model's tensors are not those of that detector.
    """
    return OpenVinoEngine(_detector_model(path), precision=precision, threads=threads, streams=streams)


def _detector_model(path: str | Path) -> Any:
    """The detector with a free batch size, UINT8 input and names of our own."""
    import openvino
    from openvino import opset13
    from openvino.preprocess import PrePostProcessor

    model = read_model(path)
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
