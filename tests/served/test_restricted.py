"""A network that answers more than is served goes through the server with the served tasks only."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import FEW_PROCESSES

TASKS = ("expression", "age", "head_pose", "race")
SERVED = ("age", "head_pose")
BOX = [50, 50, 130, 130]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("restricted")
    weights = standin.write(folder / "standin.onnx", standin.contract_of(*TASKS))
    assembled = assemble(
        ServingPlan(weights=weights, tasks=SERVED, host_settings=FEW_PROCESSES), output=folder / "var"
    )
    with (
        GatewayServer(assembled, arguments=PATIENT) as server,
        triton.InferenceServerClient(server.grpc_address) as connected,
    ):
        yield connected


def test_the_engine_loads_with_every_head_and_only_served_tasks_are_answered(client: Any) -> None:
    declared = client.get_model_config("face_engine").config.output
    assert [tensor.name for tensor in declared] == list(TASKS)
    served = {model.name for model in client.get_model_repository_index().models}
    assert served & set(TASKS) == set(SERVED)
    portrait = asking.ASTRONAUT.read_bytes()
    photo = asking.ask_about_photo(client, portrait)
    assert len(photo["boxes"]) == 1
    together = asking.ask_about_face(client, "face_analysis", portrait, box=photo["boxes"][0])
    assert {name for name in {*photo, *together} if "race" in name or "expression" in name} == set()
    for task in SERVED:
        alone = asking.ask_about_face(client, task, portrait, box=photo["boxes"][0])
        assert set(alone) <= set(together) & set(photo)
        for name, values in alone.items():
            assert values.shape[0] == 1, name


def test_what_the_engine_computes_of_a_task_that_is_not_served_is_given_to_nobody(client: Any) -> None:
    (pixels,) = client.get_model_config("face_engine").config.input
    crop = np.zeros((1, *pixels.dims), np.uint8)
    assert set(asking.ask(client, "face_engine", outputs=list(SERVED), pixels=crop)) == set(SERVED)
    for outputs in (None, ["race"], ["age", "race"]):
        with pytest.raises(InferenceServerException, match=r"PERMISSION_DENIED.*beyond the tasks"):
            asking.ask(client, "face_engine", outputs=outputs, pixels=crop)
