"""Each answer states which model made it, by which contract, and what time the server measured."""

import json
from typing import Any

import numpy as np
import pytest

from qface_client import FaceClient, Provenance
from qface_client.contract import ModelInfo, TaskSpec, parse_contract
from qface_client.reading import read_photo
from qface_client.transports import Infer, ReadModel, Reply
from tests.helpers.fake_v2_server import classes, contract_of

CONTRACT = parse_contract(json.dumps(contract_of(classes("mood", ["glad", "sad"]))))
PHOTO = np.zeros((8, 10, 3), np.uint8)


class CountingTransport:
    """Answers with one face a photo, two crops a request, and a version and a timing that count requests."""

    def __init__(self) -> None:
        self.requests = 0

    def read_model(self, step: ReadModel) -> ModelInfo:
        return ModelInfo(name=step.model, max_batch_size=2, contract=CONTRACT)

    def infer(self, step: Infer) -> Reply:
        self.requests += 1
        count = len(step.inputs["crop"]) if "crop" in step.inputs else 1
        tensors = _photo(count)
        return Reply(
            tensors={name: tensors[name] for name in step.outputs},
            model=step.model,
            version=str(self.requests),
            timings={"total": float(self.requests)},
        )

    def close(self) -> None: ...


def _photo(count: int) -> dict[str, Any]:
    return {
        "boxes": np.tile(np.array([1, 2, 3, 4], np.float32), (count, 1)),
        "scores": np.full(count, 0.9, np.float32),
        "landmarks": np.zeros((count, 5, 2), np.float32),
        "photo_size": np.array([10, 8], np.int32),
        "mood_probabilities": np.tile(np.array([1, 0], np.float32), (count, 1)),
        "mood_label": np.full((count, 1), b"glad", object),
        "contract": np.array([CONTRACT.hash.encode()], object),
    }


@pytest.fixture
def client() -> FaceClient:
    return FaceClient(transport=CountingTransport())


def test_a_photo_and_its_faces_have_the_provenance_of_their_request(client: FaceClient) -> None:
    analysis = client.analyze(PHOTO)
    expected = Provenance(model="photo_analysis", version="1", contract=CONTRACT.hash, timings={"total": 1.0})
    assert analysis.provenance == expected
    assert [face.provenance for face in analysis] == [expected]


def test_a_face_alone_has_that_of_the_model_of_its_task(client: FaceClient) -> None:
    provenance = client.analyze_face(PHOTO, box=(1, 2, 3, 4), tasks=["mood"]).provenance
    assert (provenance.model, provenance.contract) == ("mood", CONTRACT.hash)


def test_detection_is_by_no_contract(client: FaceClient) -> None:
    assert client.detect(PHOTO).provenance == Provenance(
        model="face_detect", version="1", timings={"total": 1.0}
    )


def test_crops_in_several_requests_have_each_that_of_their_own(client: FaceClient) -> None:
    faces = client.analyze_crops([PHOTO, PHOTO, PHOTO])
    assert [face.provenance.version for face in faces] == ["1", "1", "2"]
    assert [face.provenance.timings["total"] for face in faces] == [1.0, 1.0, 2.0]


def test_tensors_that_are_read_without_it_have_their_contract_at_least() -> None:
    tasks: tuple[TaskSpec, ...] = CONTRACT.select(None)
    analysis = read_photo(_photo(1), tasks=tasks, contract=CONTRACT)
    assert analysis.provenance == analysis[0].provenance == Provenance(contract=CONTRACT.hash)
    assert read_photo(_photo(1), tasks=(), contract=None).provenance == Provenance()


def test_as_data_its_milliseconds_are_rounded() -> None:
    made = Provenance(model="m", version="3", contract="c", timings={"total": 12.34567})
    assert made.to_dict() == {"model": "m", "version": "3", "contract": "c", "timings": {"total": 12.346}}
