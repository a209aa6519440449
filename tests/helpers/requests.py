"""Asking a served model through plain tritonclient, and pictures to ask about."""

import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from tests.helpers.paths import ASSETS

ASTRONAUT = ASSETS / "astronaut.jpg"
# Where the astronaut's face is, to a few pixels, so that tests of the served models need no detector.
BOX = np.array([173, 69, 277, 172], dtype=np.float32)
LANDMARKS = np.array([[203, 101], [246, 104], [222, 127], [205, 144], [236, 147]], dtype=np.float32)
NO_BOX = np.full(4, np.nan, dtype=np.float32)
NO_LANDMARKS = np.full((5, 2), np.nan, dtype=np.float32)

_DATATYPES = {"uint8": "UINT8", "float32": "FP32"}


def ask(
    client: Any,
    model: str,
    *,
    outputs: list[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **inputs: NDArray[Any],
) -> dict[str, NDArray[Any]]:
    """The answer's tensors by name; the client's own exception where the server answers with an error."""
    sent = []
    for name, values in inputs.items():
        tensor = triton.InferInput(name, values.shape, _DATATYPES[str(values.dtype)])
        tensor.set_data_from_numpy(values)
        sent.append(tensor)
    wanted = None if outputs is None else [triton.InferRequestedOutput(name) for name in outputs]
    answer = client.infer(model, sent, outputs=wanted, client_timeout=60, parameters=dict(parameters or {}))
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


def ask_about_face(
    client: Any,
    model: str,
    image: bytes,
    *,
    box: NDArray[np.float32] = NO_BOX,
    landmarks: NDArray[np.float32] = NO_LANDMARKS,
    outputs: list[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """The answer about one face of an encoded picture."""
    data = np.frombuffer(image, dtype=np.uint8)[None]
    return ask(client, model, outputs=outputs, image=data, box=box[None], landmarks=landmarks[None])


def ask_about_photo(
    client: Any,
    image: bytes,
    *,
    model: str = "photo_analysis",
    outputs: list[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, NDArray[Any]]:
    """The answer about a whole encoded photo."""
    pixels = np.frombuffer(image, dtype=np.uint8)
    return ask(client, model, outputs=outputs, parameters=parameters, image=pixels)


def engine_counts(client: Any) -> tuple[int, int]:
    """How many faces the engine has answered, and in how many inferences."""
    return _settled_counts(client, "face_engine")


def inferences(client: Any, model: str) -> int:
    """How many rows a model has answered."""
    return _settled_counts(client, model)[0]


def _settled_counts(client: Any, model: str) -> tuple[int, int]:
    """Rows and executions: Triton counts an execution a moment after it was answered."""

    def counts() -> tuple[int, int]:
        (statistics,) = client.get_inference_statistics(model).model_stats
        return statistics.inference_count, statistics.execution_count

    last = counts()
    while True:
        time.sleep(0.3)
        if (now := counts()) == last:
            return now
        last = now


def astronaut() -> NDArray[np.uint8]:
    """The portrait [512, 512, 3] RGB."""
    return np.asarray(cv2.imread(str(ASTRONAUT))[..., ::-1], dtype=np.uint8)


def encode(image: NDArray[Any], extension: str = ".png") -> bytes:
    """A picture [H, W, 3] RGB (or [H, W], or [H, W, 4]) as the bytes of a file."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    written, data = cv2.imencode(extension, image)
    assert written
    return data.tobytes()


def faces(count: int) -> list[bytes]:
    """Very different pictures of faces, each its own file: the astronaut stretched, turned, recoloured."""
    random = np.random.default_rng(7)
    portrait = astronaut()
    center = BOX.reshape(2, 2).mean(axis=0)
    made = []
    for number in range(count):
        angle = np.radians(random.uniform(-70, 70))
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = (
            turned @ np.diag(random.uniform(0.5, 1.8, 2)) @ np.array([[1, random.uniform(-0.5, 0.5)], [0, 1]])
        )
        shift = 80 + random.uniform(-25, 25, 2) - linear @ center
        face: NDArray[Any] = cv2.warpAffine(portrait, np.column_stack([linear, shift]), (160, 160))
        face = face.astype(np.float32)
        face = 255 * (face[..., random.permutation(3)] / 255) ** random.uniform(0.4, 2.5, 3)
        if random.random() < 0.4:
            face = 255 - face
        x, y = random.integers(0, 110, 2)
        face[y : y + 50, x : x + 50] = random.uniform(0, 255, 3)
        face = face[:, :: 1 if number % 2 == 0 else -1]
        made.append(encode(np.clip(face, 0, 255).astype(np.uint8), (".png", ".jpg", ".webp")[number % 3]))
    return made
