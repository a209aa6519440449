"""A TensorRT plan opened on the GPU that it was built for: its layers and its answers.

Nothing here was run on a GPU yet.
"""

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.backends.base import Infer
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


def runner(trt: Any, engine: Any) -> Infer | None:
    """Runs the engine in PyTorch's memory; None without a PyTorch that has CUDA. Not run on a GPU yet.

    Raises BuildError where there is no memory for it; so do its answers where the GPU fails.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    context = engine.create_execution_context()
    if context is None:
        raise BuildError(
            "TensorRT can't run the engine that it built: see with nvidia-smi that the GPU has free memory, "
            "and build again"
        )
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    outputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
    types = {trt.DataType.FLOAT: torch.float32, trt.DataType.UINT8: torch.uint8}
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        with torch.cuda.stream(stream):
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to("cuda")
            if not context.set_input_shape(PIXELS, tuple(batch.shape)):
                raise RuntimeError("the batch is outside its profile")
            context.set_tensor_address(PIXELS, batch.data_ptr())
            answers = {}
            for name in outputs:
                shape, dtype = tuple(context.get_tensor_shape(name)), types[engine.get_tensor_dtype(name)]
                answers[name] = torch.empty(shape, dtype=dtype, device="cuda")
                context.set_tensor_address(name, answers[name].data_ptr())
            if not context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError("TensorRT gives no reason")
            return {name: values.cpu().numpy() for name, values in answers.items()}

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        try:
            return run(pixels)
        except RuntimeError as error:  # torch's, out of memory among them, and those above
            reason = next(
                (line.strip() for line in str(error).splitlines() if line.strip()), "it gives no reason"
            )
            raise BuildError(
                f"the TensorRT engine did not answer a batch of {len(pixels)} ({reason}): see with "
                "nvidia-smi that the GPU is free, and build again"
            ) from None

    return infer
