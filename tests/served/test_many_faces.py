"""Crowds through the served models: what is found, what is answered, what is refused."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from deploy.benchmark.collages import match_faces
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.pictures.collages import Collage, Portrait, collage
from deploy.measuring.pictures.portrait import PORTRAIT
from qface_client import FaceClient, InvalidInput
from runtime.image.decode import decode_image
from tests.helpers import requests as asking

CROWD = 240
MODELS = ("photo_analysis", "face_detect")
REFUSED = [
    ("min_score", 0.01, "a number of 0.1 to 1"),
    ("min_score", "0.5", "a number of 0.1 to 1"),
    ("max_faces", 0, "an integer of 1 to 320"),
    ("max_faces", 321, "an integer of 1 to 320"),
    ("max_faces", 2.5, "an integer of 1 to 320"),
    ("min_face", 0.0, "a number of 0.004 to 1"),
]


@pytest.fixture(scope="module")
def crowd() -> Collage:
    """Faces of 25 to 36 pixels: smaller than all are found unasked in a photo of this size."""
    portrait = Portrait(
        pixels=decode_image(np.fromfile(PORTRAIT, dtype=np.uint8)), box=np.array(asking.BOX, dtype=float)
    )
    return collage([portrait], width=1440, height=960, count=CROWD, seed=0)


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[FaceClient]:
    with FaceClient(server.grpc_address) as connected:
        yield connected


def portrait() -> Any:
    """The astronaut as the input of a photo's model."""
    image = np.frombuffer(asking.ASTRONAUT.read_bytes(), dtype=np.uint8)
    return triton.InferInput("image", list(image.shape), "UINT8").set_data_from_numpy(image)


def test_a_crowd_is_found_when_its_size_is_asked_for(client: FaceClient, crowd: Collage) -> None:
    usual = client.detect(crowd.pixels)
    closely = client.detect(crowd.pixels, min_face=0.015)
    assert usual.smallest_face is not None
    assert closely.smallest_face == pytest.approx(21.6, abs=0.1)
    assert usual.smallest_face > crowd.face_size > closely.smallest_face
    assert (match_faces(np.array([face.box for face in closely]), crowd.boxes) >= 0).all()
    assert closely.faces_found == CROWD
    assert len(usual) < CROWD


def test_of_more_faces_than_wanted_the_best_are_answered_and_all_counted(
    client: FaceClient, crowd: Collage
) -> None:
    some = client.analyze(crowd.pixels, tasks=["age"], min_face=0.015, max_faces=3)
    assert (len(some), some.faces_found) == (3, CROWD)
    assert all(face.age is not None for face in some)
    line = some.to_json()
    assert (line["faces_found"], len(line["faces"]), line["smallest_face"]) == (
        CROWD,
        3,
        pytest.approx(21.6, abs=0.1),
    )


def test_a_score_decides_what_is_a_face(client: FaceClient) -> None:
    face = client.detect(PORTRAIT)[0]
    assert client.detect(PORTRAIT, min_score=face.score - 0.03).faces_found == 1
    without = client.analyze(PORTRAIT, min_score=min(1.0, face.score + 0.03))
    assert (len(without), without.faces_found) == (0, 0)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_values_that_are_not_taken_get_a_sentence_from_gateway_and_model(
    server: GatewayServer, model: str, name: str, value: Any, words: str
) -> None:
    (behind,) = [each["address"] for each in server.status()["tritons"] if each["active"]]
    for address in (server.grpc_address, behind):
        with (
            triton.InferenceServerClient(address) as plain,
            pytest.raises(InferenceServerException, match=words) as refused,
        ):
            plain.infer(model, [portrait()], parameters={name: value})
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
        assert name in str(refused.value)


def test_an_unknown_parameter_is_refused_and_the_client_gets_the_server_s_sentence(
    server: GatewayServer, client: FaceClient
) -> None:
    with pytest.raises(InvalidInput, match=r"max_faces.*1 to 320"):
        client.analyze(PORTRAIT, max_faces=1000)
    with triton.InferenceServerClient(server.grpc_address) as plain:
        with pytest.raises(InferenceServerException, match="max_faces, min_face, min_score"):
            plain.infer("face_detect", [portrait()], parameters={"min_size": 3})
        config = plain.get_model_config("photo_analysis").config
    described = json.loads(config.parameters["request_parameters"].string_value)
    assert described["min_score"]["default"] == 0.5
