"""Every served model answers through the real server, and the answers of different ways agree."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from build.stages.verify import verify
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking
from tests.helpers.answers import usual_answers_of
from tests.helpers.paths import ROOT

KIND_DATATYPES = {"FP32": np.float32, "BOOL": np.bool_, "UINT8": np.uint8, "BYTES": np.object_}


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_address) as connected:
        yield connected


@pytest.fixture(scope="module")
def contract(client: Any) -> dict[str, Any]:
    said = client.get_model_config("photo_analysis").config.parameters["contract"].string_value
    return dict(json.loads(said))


@pytest.fixture(scope="module")
def all_answers(client: Any) -> dict[str, np.ndarray]:
    portrait = asking.ASTRONAUT.read_bytes()
    return asking.ask_about_face(
        client, "face_analysis", portrait, box=asking.BOX, landmarks=asking.LANDMARKS
    )


def names_of(contract: dict[str, Any]) -> set[str]:
    return {answer.name for entry in contract["tasks"] for answer in usual_answers_of(entry)} | {"contract"}


def test_face_analysis_answers_every_task_in_the_types_and_shapes_of_its_kind(
    contract: dict[str, Any], all_answers: dict[str, np.ndarray]
) -> None:
    assert set(all_answers) == names_of(contract)
    for entry in contract["tasks"]:
        for answer in usual_answers_of(entry):
            values = all_answers[answer.name]
            assert values.dtype == KIND_DATATYPES[answer.datatype], answer.name
            assert values.shape == (1, *answer.dims), answer.name
            if entry["kind"] in ("classes", "multilabel") and answer.datatype == "FP32":
                assert values.min() >= 0, answer.name
                assert values.max() <= 1, answer.name
            if answer.datatype == "FP32":
                assert np.isfinite(values).all(), answer.name


def test_labels_follow_from_the_probabilities(
    contract: dict[str, Any], all_answers: dict[str, np.ndarray]
) -> None:
    checked = 0
    for entry in contract["tasks"]:
        name = entry["name"]
        if entry["kind"] == "classes":
            best = entry["labels"][int(all_answers[f"{name}_probabilities"].argmax())]
            assert all_answers[f"{name}_label"].tolist() == [[best.encode()]]
            assert all_answers[f"{name}_probabilities"].sum() == pytest.approx(1, abs=1e-5)
            checked += 1
        if entry["kind"] == "multilabel":
            active = all_answers[f"{name}_probabilities"] >= entry["threshold"]
            assert (all_answers[f"{name}_active"] == active).all()
            checked += 1
    assert checked >= 2


def test_each_task_s_own_ensemble_answers_what_face_analysis_answers(
    client: Any, contract: dict[str, Any], all_answers: dict[str, np.ndarray]
) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    for entry in contract["tasks"]:
        own = asking.ask_about_face(
            client, entry["name"], portrait, box=asking.BOX, landmarks=asking.LANDMARKS
        )
        assert set(own) == {answer.name for answer in usual_answers_of(entry)} | {"contract"}
        for name, values in own.items():
            np.testing.assert_array_equal(values, all_answers[name], err_msg=name)


def test_a_part_of_the_outputs_can_be_asked_for(
    client: Any, contract: dict[str, Any], all_answers: dict[str, np.ndarray]
) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    for name in sorted(names_of(contract)):
        part = asking.ask_about_face(
            client,
            "face_analysis",
            portrait,
            box=asking.BOX,
            landmarks=asking.LANDMARKS,
            outputs=[name],
        )
        assert set(part) == {name}
        np.testing.assert_array_equal(part[name], all_answers[name])


def test_an_aligned_crop_is_answered_without_a_detector(client: Any, contract: dict[str, Any]) -> None:
    portrait = asking.astronaut()
    crop = portrait[20:220, 120:320]
    answered = asking.ask(client, "crop_analysis", crop=np.stack([crop, crop[:, ::-1]]))
    assert set(answered) == names_of(contract)
    assert all(len(values) == 2 for values in answered.values())
    # The same pixels as a picture without box and landmarks are the same crop.
    whole = asking.ask_about_face(client, "face_analysis", asking.encode(crop))
    for name, values in whole.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(answered[name][:1], values, atol=1e-4, err_msg=name)


def test_photo_analysis_answers_what_face_analysis_says_of_the_face_it_found(client: Any) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    photo = asking.ask_about_photo(client, portrait)
    assert photo["boxes"].shape == (1, 4)
    assert photo["photo_size"].tolist() == [512, 512]
    face = asking.ask_about_face(
        client, "face_analysis", portrait, box=photo["boxes"][0], landmarks=photo["landmarks"][0]
    )
    for name, values in face.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(photo[name], values, atol=1e-5, err_msg=name)


def test_face_detect_finds_the_face_where_it_is(client: Any) -> None:
    found = asking.ask_about_photo(client, asking.ASTRONAUT.read_bytes(), model="face_detect")
    assert set(found) == {"boxes", "scores", "landmarks", "photo_size", "faces_found", "smallest_face"}
    np.testing.assert_allclose(found["boxes"], asking.BOX[None], atol=12)
    np.testing.assert_allclose(found["landmarks"][0, :3], asking.LANDMARKS[:3], atol=8)
    assert 0.5 <= found["scores"][0] <= 1


def test_every_model_that_answers_says_the_same_contract(client: Any, contract: dict[str, Any]) -> None:
    tasks = [entry["name"] for entry in contract["tasks"]]
    portrait = asking.ASTRONAUT.read_bytes()
    for model in ["face_analysis", *tasks]:
        said = client.get_model_config(model).config.parameters["contract"].string_value
        assert json.loads(said) == contract, model
        answered = asking.ask_about_face(client, model, portrait, outputs=["contract"])
        assert answered["contract"].tolist() == [[contract["hash"].encode()]], model
    for model in ("crop_analysis", "face_engine", *(f"{task}_postprocess" for task in tasks)):
        said = client.get_model_config(model).config.parameters["contract"].string_value
        assert json.loads(said) == contract, model
    photo = asking.ask_about_photo(client, portrait, outputs=["contract"])
    assert photo["contract"].tolist() == [contract["hash"].encode()]


def test_angles_are_those_of_the_photo_not_of_the_crop(client: Any, contract: dict[str, Any]) -> None:
    rotations = [entry["name"] for entry in contract["tasks"] if entry["kind"] == "rotation"]
    assert rotations, "the shipped contract has head pose"
    portrait = asking.astronaut()
    turned = np.ascontiguousarray(np.rot90(portrait, k=-1))  # clockwise by 90 degrees
    # A point (x, y) of the portrait lies at (511 - y, x) of the turned one.
    landmarks = np.stack([511 - asking.LANDMARKS[:, 1], asking.LANDMARKS[:, 0]], axis=1)
    name = f"{rotations[0]}_angles"
    upright = asking.ask_about_face(client, rotations[0], asking.encode(portrait), landmarks=asking.LANDMARKS)
    rotated = asking.ask_about_face(
        client, rotations[0], asking.encode(turned), landmarks=landmarks.astype(np.float32)
    )
    change = rotated[name][0] - upright[name][0]
    # Roll wraps at 180 degrees; resampling leaves small differences.
    np.testing.assert_allclose((change + 180) % 360 - 180, [0, 0, 90], atol=1.5)


def test_an_unknown_model_or_output_is_refused_by_name(client: Any) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    with pytest.raises(InferenceServerException, match="no_such_task"):
        asking.ask_about_face(client, "no_such_task", portrait)
    with pytest.raises(InferenceServerException, match="smile_probabilities"):
        asking.ask_about_face(client, "face_analysis", portrait, outputs=["smile_probabilities"])
    with pytest.raises(InferenceServerException, match="smile_probabilities"):
        asking.ask_about_photo(client, portrait, outputs=["boxes", "smile_probabilities"])
    assert asking.ask_about_photo(client, portrait)["boxes"].shape == (1, 4)


def test_every_assembled_model_is_ready(server: GatewayServer, client: Any) -> None:
    ready = {name for name in server.models if client.is_model_ready(name, client_timeout=10)}
    assert ready == set(server.models)
    assert {"photo_analysis", "face_analysis", "crop_analysis"} <= set(server.models)


def test_a_server_leaves_the_repository_as_its_manifest_says(server: GatewayServer) -> None:
    assert server.running
    repository = ROOT / "var" / "test" / "repository"
    assert verify(repository.resolve())["files"]
    assert not list(repository.resolve().rglob("*.pyc"))
