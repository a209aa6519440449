"""A tensor comes back from a recording bit for bit, and can be read there where it is small."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qface_client._recording.tensors import fingerprint, tensor_from_json, tensor_to_json

RANDOM = np.random.default_rng(7)
TEXTS: NDArray[Any] = np.array([[b"happiness"], ["größe".encode()]], dtype=object)
BINARY: NDArray[Any] = np.array([b"\x89PNG\r\n\xff"], dtype=object)


@pytest.mark.parametrize(
    "tensor",
    [
        np.array([[0.1, -3e-38], [1 / 3, 65504]], dtype=np.float32),
        RANDOM.random((4, 68, 2), dtype=np.float32),
        np.array([0.1, np.pi]),
        np.array([0.1, 6.1e-5], dtype=np.float16),
        np.array([np.nan, np.inf, -0.0, 1.0], dtype=np.float32),
        np.array([True, False]),
        np.array([[1 << 31, 0]], dtype=np.int64),
        RANDOM.integers(0, 255, (3, 112, 112), dtype=np.uint8),
        np.zeros((0, 5, 2), dtype=np.float32),
        np.float32(2.5).reshape(()),
        RANDOM.random((40, 30), dtype=np.float32).T,
        TEXTS,
        BINARY,
        np.zeros((0, 1), dtype=object),
    ],
)
def test_a_tensor_comes_back_bit_for_bit(tensor: NDArray[Any]) -> None:
    text = json.dumps(tensor_to_json(tensor), allow_nan=False)
    back = tensor_from_json(json.loads(text))
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert back.tobytes() == tensor.tobytes() if tensor.dtype != object else (back == tensor).all()
    assert not back.flags.writeable


def test_a_few_numbers_and_texts_are_read_as_they_are_written() -> None:
    assert tensor_to_json(np.array([0.1, 0.7], np.float32))["values"] == [0.1, 0.7]
    assert tensor_to_json(TEXTS)["texts"] == ["happiness", "größe"]


def test_an_input_is_known_by_type_shape_and_content() -> None:
    picture = RANDOM.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    alike = [picture.copy(), np.asfortranarray(picture)]
    others = [picture[::-1], picture.reshape(4, 16, 3), picture.view(np.int8)]
    assert all(fingerprint(other) == fingerprint(picture) for other in alike)
    assert all(fingerprint(other) != fingerprint(picture) for other in others)
