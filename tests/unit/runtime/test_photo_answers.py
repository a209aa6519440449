"""Faces whose quality is too low are left out of a photo's answer, after one pass of the network."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.answering import photos
from runtime.answering.photos import PhotoAnswers
from runtime.answering.quality import quality_parameters
from runtime.contract import Contract
from runtime.detect.faces import Detections
from runtime.detect.search import SearchLimits
from runtime.errors import InvalidInput
from tests.helpers.networks.standin_network import contract_of, stating_errors

CONTRACT = Contract.parse(stating_errors(contract_of("age", "face_quality"), minimum=0.5))
OLD = Contract.parse(contract_of("age", "face_quality"))
DETECTIONS = ("boxes", "scores", "landmarks", "photo_size", "faces_found", "smallest_face")
EVERY = (*DETECTIONS, "age_value", "age_error", "face_quality_probabilities", "faces_below_quality")


@dataclasses.dataclass(kw_only=True)
class Network:
    """Heads of faces whose qualities are known, and what it is asked for. The age is the face's number."""

    qualities: Sequence[float]
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def __call__(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        self.asked.append(tuple(names))
        numbers = np.arange(len(pixels), dtype=np.float32)[:, None]
        heads = {
            "age": numbers,
            "age_error": numbers / 2,
            "face_quality": np.array(self.qualities, np.float32)[:, None],
        }
        return {name: heads[name] for name in names}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of faces that are found in a photo, 3 unless a test changes it."""
    count = [3]

    def find(*_: Any, **__: Any) -> Detections:
        number = count[0]
        boxes = np.array([[10 + 30 * i, 20, 30 + 30 * i, 40] for i in range(number)], np.float32)
        eyes = np.array([[5, 6], [14, 6], [10, 10], [10, 15], [10, 15]], np.float32)
        return Detections(
            boxes=boxes.reshape(-1, 4),
            scores=np.linspace(0.9, 0.6, number, dtype=np.float32),
            landmarks=boxes.reshape(-1, 4)[:, None, :2] + eyes,
            faces_found=5,
            smallest_face=17.0,
        )

    monkeypatch.setattr(photos, "find_faces", find)
    return count


def answer_of(
    network: Network,
    *requested: str,
    contract: Contract = CONTRACT,
    **sent: Any,
) -> dict[str, NDArray[Any]]:
    parameters = SearchLimits().parameters() | quality_parameters(contract)
    image = cv2.imencode(".png", np.zeros((64, 128, 3), np.uint8))[1]
    answers = PhotoAnswers(contract, lambda _: {}, parameters, network)
    return answers.answer(image, sent=json.dumps(sent), requested=requested or EVERY)


@pytest.mark.usefixtures("found")
def test_faces_below_the_contract_s_minimum_are_left_out_of_every_tensor_and_counted() -> None:
    network = Network(qualities=[0.9, 0.2, 0.5])
    answer = answer_of(network)
    assert answer["boxes"][:, 0].tolist() == [10, 70]
    assert answer["scores"].tolist() == pytest.approx([0.9, 0.6])
    assert answer["landmarks"].shape == (2, 5, 2)
    assert answer["age_value"][:, 0].tolist() == [0, 2]
    assert answer["age_error"][:, 0].tolist() == [0, 1]
    assert answer["face_quality_probabilities"][:, 0].tolist() == pytest.approx([0.9, 0.5])
    assert answer["faces_below_quality"].tolist() == [1]
    assert answer["faces_below_quality"].dtype == np.int32
    assert answer["faces_found"].tolist() == [5], "by the detector"
    assert network.asked == [("age", "age_error", "face_quality")], "in one pass"


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(("minimum", "kept"), [(0, 3), (0.2, 3), (0.25, 2), (0.95, 0)])
def test_a_request_chooses_the_least_quality(minimum: float, kept: int) -> None:
    answer = answer_of(Network(qualities=[0.9, 0.2, 0.5]), min_quality=minimum)
    assert len(answer["boxes"]) == len(answer["age_value"]) == kept
    assert answer["faces_below_quality"].tolist() == [3 - kept]


@pytest.mark.usefixtures("found")
def test_where_all_faces_are_left_out_the_answer_is_that_of_a_photo_without_faces(found: list[int]) -> None:
    left_out = answer_of(Network(qualities=[0.1, 0.2, 0.3]))
    found[0] = 0
    network = Network(qualities=[])
    without = answer_of(network)
    assert network.asked == []
    assert left_out.pop("faces_below_quality").tolist() == [3]
    assert without.pop("faces_below_quality").tolist() == [0]
    assert left_out.keys() == without.keys()
    for name, values in without.items():
        assert (values.shape, values.dtype) == (left_out[name].shape, left_out[name].dtype), name


@pytest.mark.usefixtures("found")
def test_the_quality_is_computed_only_where_it_decides_or_is_asked_for() -> None:
    network = Network(qualities=[0.9, 0.2, 0.5])
    answer = answer_of(network, *DETECTIONS, "age_value")
    assert len(answer["age_value"]) == 2
    answer = answer_of(network, *DETECTIONS, "age_value", min_quality=0)
    assert len(answer["age_value"]) == 3
    answer_of(network, *DETECTIONS, "face_quality_probabilities", min_quality=0.0)
    assert network.asked == [("age", "face_quality"), ("age",), ("face_quality",)]
    assert len(answer_of(network, *DETECTIONS, min_quality=0)["boxes"]) == 3
    assert len(network.asked) == 3, "where nothing is asked of the network"
    assert len(answer_of(network, *DETECTIONS)["boxes"]) == 2, "the same faces, whatever is asked of them"
    assert network.asked[3:] == [("face_quality",)]


@pytest.mark.usefixtures("found")
def test_a_quality_that_is_no_number_leaves_nothing_out() -> None:
    answer = answer_of(Network(qualities=[0.9, np.nan, 0.1]))
    assert len(answer["boxes"]) == 2


@pytest.mark.usefixtures("found")
def test_a_contract_without_a_quality_leaves_nothing_out_and_knows_no_parameter() -> None:
    network = Network(qualities=[0.9, 0.2, 0.5])
    answer = answer_of(network, *DETECTIONS, "age_value", contract=OLD)
    assert len(answer["age_value"]) == 3
    assert "faces_below_quality" not in answer
    assert quality_parameters(OLD) == {}
    assert network.asked == [("age",)]


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("value", [-0.1, 1.5, "half", True, None])
def test_a_quality_that_can_not_be_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"The parameter min_quality can't be .* send a number of 0 to 1"):
        answer_of(Network(qualities=[1, 1, 1]), min_quality=value)
