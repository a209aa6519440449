"""A tensor as JSON: numbers and texts where a reader gains by them, else compressed bytes."""

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of more numbers than these nobody reads each.
_MOST_NUMBERS = 256
_BYTES = "bytes"  # what numpy calls object: an array of byte strings


def fingerprint(tensor: NDArray[Any]) -> dict[str, Any]:
    """What stands for an input: its type, its shape and the SHA-256 of its bytes, none of its content."""
    content = np.ascontiguousarray(tensor)
    return {
        "dtype": tensor.dtype.name,
        "shape": list(tensor.shape),
        "sha256": hashlib.sha256(content.data).hexdigest(),
    }


def tensor_to_json(tensor: NDArray[Any]) -> dict[str, Any]:
    """The tensor as plain data; `tensor_from_json` gives it back bit for bit."""
    shape = list(tensor.shape)
    if tensor.dtype == np.object_:
        return {"dtype": _BYTES, "shape": shape, **_texts([bytes(item) for item in tensor.ravel()])}
    form: dict[str, Any] = {"dtype": tensor.dtype.name, "shape": shape}
    if tensor.dtype.kind == "f":
        if tensor.size <= _MOST_NUMBERS and np.isfinite(tensor).all():  # JSON has no NaN
            # The shortest text that gives the same number in its own type: 0.1, not 0.10000000149011612.
            return form | {"values": [float(str(value)) for value in tensor.ravel()]}
    elif tensor.size <= _MOST_NUMBERS:
        return form | {"values": tensor.ravel().tolist()}
    little = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
    return form | {"zlib": _packed(little.tobytes())}


def tensor_from_json(form: Mapping[str, Any]) -> NDArray[Any]:
    """The tensor, read-only; one of `DAMAGE` for what `tensor_to_json` does not write."""
    shape = tuple(form["shape"])
    if not isinstance(form["dtype"], str):
        raise TypeError("a dtype is a name")
    if form["dtype"] == _BYTES:
        items = [text.encode() for text in form["texts"]] if "texts" in form else _unpacked_each(form)
        tensor = np.empty(len(items), dtype=np.object_)
        tensor[:] = items
    elif "values" in form:
        tensor = np.array(form["values"], dtype=form["dtype"])
    else:
        little = np.dtype(form["dtype"]).newbyteorder("<")
        tensor = np.frombuffer(_unpacked(form["zlib"]), dtype=little).astype(form["dtype"])
    tensor = tensor.reshape(shape)
    tensor.flags.writeable = False
    return tensor


def _texts(items: list[bytes]) -> dict[str, Any]:
    try:
        return {"texts": [item.decode() for item in items]}
    except UnicodeDecodeError:
        return {"base64": [base64.b64encode(item).decode() for item in items]}


def _unpacked_each(form: Mapping[str, Any]) -> list[bytes]:
    return [base64.b64decode(text, validate=True) for text in form["base64"]]


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _unpacked(text: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(str(error)) from error
