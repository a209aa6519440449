"""Tasks of every kind, those too that no shipped weights answer yet, go the whole way through the server."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.benchmark.load.rest import RestClient
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import FEW_PROCESSES

TASKS = (
    "expression",
    "action_units",
    "age",
    "head_pose",
    "race",
    "landmarks",
    "visibility",
    "parsing",
    "face_quality",
)
ERRORS = {"age_error", "head_pose_error", "landmarks_error"}
QUALITY = 0.75  # of every face


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    folder = tmp_path_factory.mktemp("kinds")
    contract = standin.stating_errors(standin.contract_of(*TASKS), minimum=0.5)
    constants = {"face_quality": QUALITY, "landmarks_error": 2.0}
    weights = standin.write(folder / "standin.onnx", contract, constants=constants)
    assembled = assemble(
        ServingPlan(weights=weights, tasks=TASKS, host_settings=FEW_PROCESSES), output=folder / "var"
    )
    with GatewayServer(assembled, rest_port=0, arguments=PATIENT) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: GatewayServer) -> Iterator[Any]:
    with triton.InferenceServerClient(gateway.grpc_address) as connected:
        yield connected


def test_every_kind_is_answered_by_its_own_ensemble_and_by_all_at_once(client: Any) -> None:
    portrait = asking.encode(asking.astronaut())  # a PNG has one scale, whoever decodes it
    photo = asking.ask_about_photo(client, portrait)
    assert len(photo["boxes"]) == 1
    face = {"box": photo["boxes"][0], "landmarks": photo["landmarks"][0]}
    together = asking.ask_about_face(client, "face_analysis", portrait, **face)
    expected = {
        "landmarks_points": ((1, 68, 2), np.float32),
        "visibility_active": ((1, 29), np.bool_),
        "parsing_png": ((1, 1), np.object_),
        "parsing_map": ((1, 2, 3), np.float32),
        "race_label": ((1, 1), np.object_),
        "age_error": ((1, 1), np.float32),
        "head_pose_error": ((1, 3), np.float32),
        "landmarks_error": ((1, 68), np.float32),
    }
    for name, (shape, dtype) in expected.items():
        assert together[name].shape == photo[name].shape == shape, name
        assert together[name].dtype == photo[name].dtype == dtype, name
    assert "parsing_runs" not in together.keys() | photo.keys()  # nobody has named it
    for task in TASKS:
        for name, values in asking.ask_about_face(client, task, portrait, **face).items():
            np.testing.assert_array_equal(values, together[name], err_msg=name)
            if name != "contract":
                np.testing.assert_array_equal(values, photo[name], err_msg=name)


def test_an_expected_error_of_points_is_a_length_in_the_photo(client: Any) -> None:
    picture = asking.encode(np.full((400, 400, 3), 80, np.uint8))
    boxes = (np.array([50, 50, 50 + side, 50 + side], np.float32) for side in (80, 160))
    small, large = (asking.ask_about_face(client, "landmarks", picture, box=box) for box in boxes)
    assert (small["landmarks_error"] == small["landmarks_error"][0, 0]).all()
    np.testing.assert_allclose(large["landmarks_error"], 2 * small["landmarks_error"], rtol=1e-4)


def test_a_request_that_names_the_outputs_of_an_older_network_is_answered_as_by_that(client: Any) -> None:
    portrait = asking.encode(asking.astronaut())
    whole = asking.ask_about_photo(client, portrait)
    older = sorted(whole.keys() - ERRORS - {"face_quality_probabilities", "face_quality_active"})
    older.remove("faces_below_quality")
    photo = asking.ask(client, "photo_analysis", outputs=older, image=np.frombuffer(portrait, np.uint8))
    assert sorted(photo) == older
    for name, values in photo.items():
        np.testing.assert_array_equal(values, whole[name], err_msg=name)
    assert len(photo["boxes"]) == 1


def test_faces_below_the_least_quality_are_left_out_and_counted(client: Any) -> None:
    portrait = asking.encode(asking.astronaut())

    def answered(**parameters: float) -> dict[str, Any]:
        image = np.frombuffer(portrait, np.uint8)
        return asking.ask(client, "photo_analysis", parameters=parameters, image=image)

    for parameters, kept in (({}, 1), ({"min_quality": 0.75}, 1), ({"min_quality": 0.76}, 0)):
        answer = answered(**parameters)
        assert answer["faces_below_quality"].tolist() == [1 - kept]
        assert answer["faces_found"].tolist() == [1]
        assert len(answer["boxes"]) == len(answer["age_error"]) == len(answer["parsing_png"]) == kept
    with pytest.raises(InferenceServerException, match="'min_quality' that can't be used: it is a number"):
        answered(min_quality=1.5)
    with pytest.raises(InferenceServerException, match="'min_quality', which is not taken: leave it out"):
        asking.ask(
            client,
            "face_detect",
            parameters={"min_quality": 0.5},
            image=np.frombuffer(portrait, np.uint8),
        )


def test_rest_answers_errors_and_quality_too(gateway: GatewayServer) -> None:
    portrait, tasks = asking.ASTRONAUT.read_bytes(), "age,face_quality"
    with contextlib.closing(RestClient(gateway.rest_address)) as rest:
        for query, kept in (({"tasks": tasks}, 1), ({"tasks": tasks, "min_quality": "0.8"}, 0)):
            reply, content = rest.analyze(portrait, query=query, deadline=120.0)
            assert reply.code == "OK", content
            answer: Any = content
            assert (answer["faces_found"], answer["faces_below_quality"]) == (1, 1 - kept)
            assert [(face["quality"], list(face["age_error"])) for face in answer["faces"]] == [
                (QUALITY, ["years"])
            ] * kept


def test_points_are_sent_back_to_the_photo(client: Any) -> None:
    """A face twice as far from the photo's corner has its points moved by as much."""
    picture = np.full((400, 400, 3), 80, np.uint8)
    near = np.array([50, 50, 130, 130], np.float32)
    first, second = (
        asking.ask_about_face(client, "landmarks", asking.encode(picture), box=box)["landmarks_points"]
        for box in (near, near + 100)
    )
    np.testing.assert_allclose(second - first, np.full((1, 68, 2), 100), atol=1e-2)


def test_a_photo_without_a_face_has_empty_points_and_masks(client: Any) -> None:
    answered = asking.ask_about_photo(client, asking.encode(np.full((200, 200, 3), 60, np.uint8)))
    assert answered["landmarks_points"].shape == (0, 68, 2)
    assert len(answered["parsing_png"]) == 0
    contract = json.loads(
        client.get_model_config("photo_analysis").config.parameters["contract"].string_value
    )
    assert [entry["name"] for entry in contract["tasks"]] == list(TASKS)
