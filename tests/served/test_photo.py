"""photo_analysis and face_detect on whole photos: no face, many faces, every sort of file."""

import json
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray

from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking
from tests.helpers.answers import usual_answers_of

COLUMNS, ROWS = 8, 5  # more faces than the engine takes in one batch
ONE_A_PHOTO = ("photo_size", "faces_found", "smallest_face", "faces_below_quality", "contract")


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_address) as connected:
        yield connected


def collage() -> NDArray[np.uint8]:
    """COLUMNS x ROWS portraits, each lit differently."""
    portrait = cv2.resize(asking.astronaut()[20:240, 110:330], (160, 160), interpolation=cv2.INTER_AREA)
    light = np.linspace(0.6, 1.2, COLUMNS * ROWS).reshape(ROWS, COLUMNS)
    rows = [np.concatenate([portrait * factor for factor in row], axis=1) for row in light]
    return np.clip(np.concatenate(rows), 0, 255).astype(np.uint8)


def test_a_photo_without_a_face_gets_empty_answers_and_no_engine_call(client: Any) -> None:
    before = asking.engine_counts(client)
    answered = asking.ask_about_photo(client, asking.encode(np.full((300, 400, 3), 90, np.uint8)))
    contract = json.loads(
        client.get_model_config("photo_analysis").config.parameters["contract"].string_value
    )
    assert answered["boxes"].shape == (0, 4)
    assert answered["scores"].shape == (0,)
    assert answered["landmarks"].shape == (0, 5, 2)
    assert answered["photo_size"].tolist() == [400, 300]
    assert answered["contract"].tolist() == [contract["hash"].encode()]
    for entry in contract["tasks"]:
        for answer in usual_answers_of(entry):
            shape = (0, *(max(size, 0) for size in answer.dims))
            assert answered[answer.name].shape == shape, answer.name
    assert asking.engine_counts(client) == before


def test_more_faces_than_one_batch_are_all_answered_in_the_order_of_the_boxes(client: Any) -> None:
    photo = asking.encode(collage())
    answered = asking.ask_about_photo(client, photo)
    assert len(answered["boxes"]) == COLUMNS * ROWS > 32
    centers = answered["boxes"].reshape(-1, 2, 2).mean(axis=1)
    cells = {(int(x // 160), int(y // 160)) for x, y in centers}
    assert len(cells) == COLUMNS * ROWS
    per_face = [name for name in answered if name not in ONE_A_PHOTO]
    assert all(len(answered[name]) == COLUMNS * ROWS for name in per_face)
    for face in (0, 31, 32, COLUMNS * ROWS - 1):
        alone = asking.ask_about_face(
            client,
            "face_analysis",
            photo,
            box=answered["boxes"][face],
            landmarks=answered["landmarks"][face],
        )
        for name, values in alone.items():
            if values.dtype == np.float32:
                np.testing.assert_allclose(answered[name][face], values[0], atol=1e-4, err_msg=name)


def test_asking_only_for_boxes_does_not_run_the_engine(client: Any) -> None:
    before = asking.engine_counts(client)
    answered = asking.ask_about_photo(
        client,
        asking.ASTRONAUT.read_bytes(),
        outputs=["boxes", "scores", "contract"],
        parameters={"min_quality": 0.0},  # else the network decides which faces are answered
    )
    assert set(answered) == {"boxes", "scores", "contract"}
    assert len(answered["boxes"]) == 1
    assert asking.engine_counts(client) == before


def test_a_single_task_is_answered_alone(client: Any) -> None:
    contract = json.loads(
        client.get_model_config("photo_analysis").config.parameters["contract"].string_value
    )
    portrait = asking.ASTRONAUT.read_bytes()
    everything = asking.ask_about_photo(client, portrait)
    for entry in contract["tasks"]:
        names = [answer.name for answer in usual_answers_of(entry)]
        answered = asking.ask_about_photo(client, portrait, outputs=["boxes", *names])
        assert set(answered) == {"boxes", *names}
        for name in names:
            np.testing.assert_array_equal(answered[name], everything[name])


@pytest.mark.parametrize("extension", [".png", ".webp", ".ppm"])
def test_every_format_shows_the_same_face(client: Any, extension: str) -> None:
    portrait = asking.astronaut()
    expected = asking.ask_about_photo(client, asking.ASTRONAUT.read_bytes())
    answered = asking.ask_about_photo(client, asking.encode(portrait, extension))
    np.testing.assert_allclose(answered["boxes"], expected["boxes"], atol=3)


def test_grey_and_transparent_photos_show_the_face_too(client: Any) -> None:
    portrait = asking.astronaut()
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    opaque = np.concatenate([portrait, np.full((512, 512, 1), 255, np.uint8)], axis=2)
    for picture in (grey, opaque):
        answered = asking.ask_about_photo(client, asking.encode(picture))
        assert len(answered["boxes"]) == 1
        np.testing.assert_allclose(answered["boxes"][0], asking.BOX, atol=12)


def test_exif_rotation_is_honoured(client: Any) -> None:
    # Stored lying on its side, with the note that it is to be turned clockwise by 90 degrees.
    lying = asking.encode(np.ascontiguousarray(np.rot90(asking.astronaut()[:, :400])), ".jpg")
    orientation = 6
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01"
    tiff += orientation.to_bytes(2, "big") + b"\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    photo = lying[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + lying[2:]
    answered = asking.ask_about_photo(client, photo)
    assert answered["photo_size"].tolist() == [400, 512]
    np.testing.assert_allclose(answered["boxes"][0], asking.BOX, atol=12)
