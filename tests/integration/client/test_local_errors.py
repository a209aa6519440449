"""Expected errors and a face's quality, from a network's file through the local client."""

import json
from collections.abc import Iterator

import pytest
from PIL import Image

from qface_client import Points, Rotation, Value
from qface_client.local import LocalFaceClient
from tests.helpers.networks.standin_network import contract_of, stating_errors, write
from tests.helpers.paths import ASTRONAUT


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFaceClient]:
    contract = stating_errors(contract_of("age", "head_pose", "landmarks", "face_quality"), minimum=0.5)
    network = write(tmp_path_factory.mktemp("network") / "network.onnx", contract)
    with LocalFaceClient(network, threads=1) as opened:
        yield opened


def test_errors_come_with_the_answers_those_of_points_in_the_photos_pixels(client: LocalFaceClient) -> None:
    photo = Image.open(ASTRONAUT)
    twice = photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.NEAREST)
    tasks = ["age", "head_pose", "landmarks"]
    box = (172, 68, 279, 175)
    one = client.analyze_face(photo, box=box, tasks=tasks)
    two = client.analyze_face(twice, box=[edge * 2 for edge in box], tasks=tasks)
    ages = [face.answer("age", Value).error for face in (one, two)]
    assert ages[0] == pytest.approx(ages[1], rel=0.02)
    turns = [face.answer("head_pose", Rotation).errors for face in (one, two)]
    assert turns[0] == pytest.approx(turns[1], rel=0.02)
    points = [face.answer("landmarks", Points).errors for face in (one, two)]
    assert points[0] is not None
    assert points[1] is not None
    assert (points[0] * 2).tolist() == pytest.approx(points[1].tolist(), rel=0.02)


def test_one_task_alone_and_crops_have_their_errors(client: LocalFaceClient) -> None:
    assert client.analyze_face(ASTRONAUT, tasks=["age"]).answer("age", Value).interval(0.8) is not None
    (crop,) = client.analyze_crops([Image.open(ASTRONAUT)])
    assert {"age_error", "head_pose_error", "landmarks_error", "quality"} <= set(crop.to_dict())


def test_faces_below_the_quality_are_left_out_and_counted(client: LocalFaceClient) -> None:
    """The stand-in's quality is no probability: it is far above 1, or below 0."""
    usable = (client.analyze_crop(ASTRONAUT).quality or 0) > 0.5
    analysis = client.analyze(ASTRONAUT)
    assert analysis.faces_found == 1
    assert (len(analysis), analysis.faces_below_quality) == ((1, 0) if usable else (0, 1))
    line = json.loads(analysis.to_json_line())
    assert line["faces_below_quality"] == analysis.faces_below_quality
