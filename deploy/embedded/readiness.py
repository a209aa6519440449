"""The first requests to a server: is each model ready, and does a real inference come back?

A ready model may still not answer (a dead stub, an engine that fails on its first batch), so the
models that a client would call get a request. Their names are fixed by the served interface; their
inputs are read from the server.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from deploy.embedded.errors import CanaryFailed

MODELS = ("photo_analysis", "crop_analysis")
_SIDE = 64  # pixels of a canary picture


def canary_models(models: Iterable[str]) -> list[str]:
    """Those of a repository's models that get a canary request: of every network, by whatever name."""
    endings = tuple(f"_{name}" for name in MODELS)
    return sorted(name for name in models if name in MODELS or name.endswith(endings))


def is_ready(client: Any, name: str) -> bool:
    """Whether this model itself is ready; False while the server can't be reached."""
    try:
        return bool(client.is_model_ready(name, client_timeout=2.0))
    except InferenceServerException:
        return False


def send_canary(client: Any, name: str, *, timeout: float) -> None:
    """Sends `name` a grey picture and requests every output; CanaryFailed names what came instead.

    A photo without a face is an ordinary request: its answers are empty. Those of a crop are not.
    """
    try:
        metadata = client.get_model_metadata(name, client_timeout=timeout)
        batched = client.get_model_config(name, client_timeout=timeout).config.max_batch_size > 0
        inputs = []
        for declared in metadata.inputs:
            picture = _picture(list(declared.shape)[1 if batched else 0 :], name=name)
            picture = picture[np.newaxis] if batched else picture
            tensor = triton.InferInput(declared.name, picture.shape, "UINT8")
            tensor.set_data_from_numpy(picture)
            inputs.append(tensor)
        answer = client.infer(name, inputs, client_timeout=timeout)
    except InferenceServerException as error:
        raise CanaryFailed(f"{name} loaded but does not answer: {error.message()}") from error
    # numpy 2 in the server's environment shows here at the latest: tensors without elements.
    for output in answer.get_response().outputs:
        if batched and 0 in output.shape:
            raise CanaryFailed(f"{name} answers with an empty {output.name}: has its environment numpy<2?")
    if not answer.get_response().outputs:
        raise CanaryFailed(f"{name} answers without any output")


def _picture(dims: list[int], *, name: str) -> NDArray[np.uint8]:
    """A grey picture for an input of these dims: [-1] takes an encoded file, [height, width, 3] pixels."""
    if len(dims) == 1:
        header = f"P6\n{_SIDE} {_SIDE}\n255\n".encode()
        return np.frombuffer(header + bytes([128]) * (_SIDE * _SIDE * 3), dtype=np.uint8)
    if len(dims) == 3 and dims[2] == 3:
        return np.full([_SIDE if size < 0 else size for size in dims], 128, dtype=np.uint8)
    raise CanaryFailed(f"{name} takes dims {dims}, neither a picture file nor pixels: assemble it again")
