"""Tensors as the V2 protocol sends them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor


def datatype_of(tensor: NDArray[Any], *, name: str) -> str:
    """The protocol's name of a tensor's type; ValueError where it has none."""
    datatype: str | None = np_to_triton_dtype(tensor.dtype)
    if datatype is None:
        raise ValueError(f"the input {name} is {tensor.dtype}, which the V2 protocol can't send: convert it")
    return datatype


def raw_bytes(tensor: NDArray[Any], datatype: str) -> bytes:
    """A tensor's elements, little-endian; of texts each has its length before it."""
    if datatype == "BYTES":
        return bytes(serialize_byte_tensor(tensor).item()) if tensor.size else b""
    return np.ascontiguousarray(tensor).tobytes()
