"""A TensorRT plan opened on the GPU that it was built for: its layers and its answers.

Nothing here was run on a GPU yet.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.backends.base import Infer
from build.backends.tensorrt_tools.gpu_memory import GpuError, GpuStream
from build.backends.tensorrt_tools.gpus import driver
from build.errors import BuildError
from build.onnx_interface import PIXELS


def inspect(trt: Any, engine: Any) -> str:
    """The inspector's description of the engine's layers, as JSON. Not run on a GPU yet."""
    inspector = engine.create_engine_inspector()
    context = engine.create_execution_context()
    if context is not None:
        # Where a batch is open, a type may be "N/A due to dynamic shapes": it is read at the best batch.
        context.set_input_shape(PIXELS, tuple(engine.get_tensor_profile_shape(PIXELS, 0)[1]))
        inspector.execution_context = context
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def runner(trt: Any, engine: Any) -> Infer:
    """Runs the engine on the first visible GPU. Not run on a GPU yet.

    Raises BuildError where there is no memory for it; so do its answers where the GPU fails.
    """
    context = engine.create_execution_context()
    if context is None:
        raise BuildError(
            "TensorRT can't run the engine that it built: see with nvidia-smi that the GPU has free memory, "
            "and build again"
        )
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    outputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
    types = {trt.DataType.FLOAT: np.float32, trt.DataType.UINT8: np.uint8}

    def run(stream: GpuStream, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        if not context.set_input_shape(PIXELS, tuple(pixels.shape)):
            raise GpuError("the batch is outside its profile")
        context.set_tensor_address(PIXELS, stream.upload(pixels))
        places = {}
        for name in outputs:
            shape = tuple(context.get_tensor_shape(name))
            dtype = np.dtype(types[engine.get_tensor_dtype(name)])
            address = stream.allocate(math.prod(shape) * dtype.itemsize)
            context.set_tensor_address(name, address)
            places[name] = address, shape, dtype
        if not context.execute_async_v3(stream.handle):
            raise GpuError("TensorRT gives no reason")
        return {
            name: stream.download(address, shape=shape, dtype=dtype)
            for name, (address, shape, dtype) in places.items()
        }

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        try:
            with GpuStream(driver()) as stream:
                return run(stream, np.ascontiguousarray(pixels))
        except GpuError as error:
            raise BuildError(
                f"the TensorRT engine did not answer a batch of {len(pixels)} ({error}): see with "
                "nvidia-smi that the GPU is free, and build again"
            ) from None

    return infer
