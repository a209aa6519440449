"""Tasks of every kind, those too that no shipped weights answer yet, go the whole way through the server."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import FEW_PROCESSES

TASKS = ("expression", "action_units", "age", "head_pose", "race", "landmarks", "visibility", "parsing")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("kinds")
    weights = standin.write(folder / "standin.onnx", standin.contract_of(*TASKS))
    assembled = assemble(
        ServingPlan(weights=weights, tasks=TASKS, host_settings=FEW_PROCESSES), output=folder / "var"
    )
    with (
        GatewayServer(assembled, arguments=PATIENT) as server,
        triton.InferenceServerClient(server.grpc_address) as connected,
    ):
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
