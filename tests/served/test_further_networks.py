"""Two networks in one repository: each answers as it does alone, with the crop that it was taught."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from build.errors import BuildError
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from build.stages.verify import verify
from deploy.embedded.errors import CannotStart
from deploy.gateway.operation.service import GatewayServer
from qface_client import Face, FaceClient, UnknownModel, UnknownTask, cli
from qface_client.local import LocalFaceClient
from tests.helpers import requests as asking
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import painted_network as painted
from tests.helpers.repositories import FEW_PROCESSES

FIRST = painted.contract("landmarks", "expression")
SECOND = painted.contract("landmarks", "visibility", "parsing_lapa", crop="box")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("two")
    painted.write(made / "first.onnx", FIRST)
    painted.write(made / "second.onnx", SECOND)
    return made


@pytest.fixture(scope="module")
def repository(folder: Path) -> Path:
    return assemble(
        ServingPlan(
            weights=folder / "first.onnx",
            further_networks={"second": folder / "second.onnx"},
            host_settings=FEW_PROCESSES,
        ),
        output=folder / "var",
    )


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[GatewayServer]:
    with GatewayServer(repository, arguments=PATIENT) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[FaceClient]:
    with FaceClient(server.grpc_address) as connected:
        yield connected


def everything(client: FaceClient, model: str | None) -> list[dict[str, object]]:
    """What every call answers about the portrait."""
    portrait, crop = asking.ASTRONAUT.read_bytes(), asking.astronaut()[60:188, 160:288]
    found: Face = client.analyze(portrait, model=model)[0]
    place = {"box": found.box, "landmarks": found.landmarks5, "model": model}
    faces = [
        found,
        client.analyze_face(portrait, **place),
        client.analyze_face(portrait, tasks=["landmarks"], **place),
        client.analyze_crop(crop, model=model),
        *client.analyze_crops([crop, crop], model=model),
    ]
    return [face.to_json() for face in faces]


def test_each_answers_as_it_does_alone(client: FaceClient, folder: Path) -> None:
    second = assemble(
        ServingPlan(weights=folder / "second.onnx", host_settings=FEW_PROCESSES), output=folder / "alone"
    )
    with GatewayServer(second, arguments=PATIENT) as server, FaceClient(server.grpc_address) as alone:
        assert everything(client, "second") == everything(alone, None)
        assert alone.contract() == client.contract(model="second")
    assert everything(client, "qface") == everything(client, None)


def test_each_has_its_own_contract_and_crop(client: FaceClient) -> None:
    assert client.models() == ("qface", "second")
    assert client.contract().hash == FIRST["hash"]
    assert client.contract(model="second").hash == SECOND["hash"]
    assert (client.contract().crop, client.contract(model="second").crop) == ("aligned", "box")
    with pytest.raises(UnknownModel, match="this server has qface, second"):
        client.analyze(asking.ASTRONAUT, model="third")
    with pytest.raises(UnknownTask, match="this server has landmarks, visibility, parsing_lapa"):
        client.analyze(asking.ASTRONAUT, tasks=["expression"], model="second")


def test_a_local_client_answers_by_either(client: FaceClient, repository: Path) -> None:
    with LocalFaceClient(repository) as local:
        assert local.models() == client.models()
        for model in (None, "second"):
            assert everything(local, model) == everything(client, model)
            assert local.contract(model=model) == client.contract(model=model)
        with pytest.raises(UnknownModel, match="this server has qface, second"):
            local.analyze(asking.ASTRONAUT, model="third")


def test_detection_is_shared_and_each_engine_is_its_own(server: GatewayServer) -> None:
    assert {"second_face_engine", "second_face_preprocess", "second_face_analysis"} <= set(server.models)
    assert {"second_parsing_lapa", "second_photo_analysis", "face_engine"} <= set(server.models)
    assert not {"second_face_detect", "parsing_lapa"} & set(server.models)

    names = ("face_engine", "second_face_engine")
    with triton.InferenceServerClient(server.grpc_address) as plain:
        before = [asking.inferences(plain, name) for name in names]
        asking.ask_about_photo(plain, asking.ASTRONAUT.read_bytes(), model="second_photo_analysis")
        after = [asking.inferences(plain, name) for name in names]
    assert np.subtract(after, before).tolist() == [0, 1]


def test_the_command_picks_one(server: GatewayServer, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["analyze", str(asking.ASTRONAUT), "--url", server.grpc_address, "--json"]
    assert cli.main([*words, "--model", "second"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert {"landmarks", "visibility", "parsing_lapa"} < set(face)
    assert cli.main([*words, "--model", "second", "--tasks", "expression"]) == 2
    assert "this server has landmarks, visibility, parsing_lapa" in capsys.readouterr().err
    assert cli.main([*words, "--model", "third"]) == 2
    assert "unknown model third: this server has qface, second" in capsys.readouterr().err


def test_the_manifest_says_both(repository: Path) -> None:
    manifest = verify(repository)
    assert manifest["tasks"] == ["expression", "landmarks"] or manifest["tasks"] == [
        "landmarks",
        "expression",
    ]
    assert manifest["also"] == {
        "second": {"contract": SECOND["hash"], "tasks": ["landmarks", "visibility", "parsing_lapa"]}
    }
    assert manifest["stages"]["also"]["second"]["engine"]["target"] == "openvino"


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("second_face_engine/1/model.onnx", "second_face_engine"),
        ("second_face_postprocess/1/model.py", "second_face_postprocess"),
    ],
)
def test_a_damaged_further_model_is_named_and_no_half_of_a_server_starts(
    repository: Path, tmp_path: Path, damaged: str, words: str
) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(repository, copy)
    (copy / "models" / damaged).write_bytes(b"\x00 this is neither a network nor a program")
    with pytest.raises(BuildError, match=words):
        verify(copy)
    with pytest.raises(CannotStart, match=words), GatewayServer(copy, arguments=PATIENT):
        pass
