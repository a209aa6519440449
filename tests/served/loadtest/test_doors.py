"""What a load test sends to the real server gets the answers that FaceClient gets."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Reply, Target
from deploy.loadtest.work.building import Work, build
from deploy.loadtest.work.mix import Entry
from deploy.loadtest.work.options import WorkOptions
from deploy.loadtest.work.question import Question
from qface_client import FaceClient
from qface_client.reading import read_photo, read_tasks
from tests.helpers.paths import ASTRONAUT

SECONDS = 120.0
SORTS = ("photo", "face", "crop")


def target_of(server: GatewayServer, protocol: str) -> Target:
    address = {"grpc": server.grpc_address, "rest": server.rest_address}[protocol]
    return Target(protocol=protocol, address=address)


def work_of(server: GatewayServer, options: WorkOptions, protocol: str = "grpc") -> Work:
    return build(options, door=doors[protocol], target=target_of(server, protocol), timeout=SECONDS)


def mix(*entries: str, tasks: tuple[tuple[str, ...], ...] = ()) -> WorkOptions:
    return WorkOptions(mix=tuple(map(Entry.parse, entries)), tasks=tasks)


def replies(server: GatewayServer, questions: tuple[Question, ...], protocol: str = "grpc") -> list[Reply]:
    """How the questions end, all sent at once over one connection."""

    async def asked() -> list[Reply]:
        door = doors[protocol]
        connection = door.connect(target_of(server, protocol))
        try:
            messages = map(door.message, questions)
            return await asyncio.gather(*(connection.ask(each, deadline=SECONDS) for each in messages))
        finally:
            await connection.close()

    return asyncio.run(asked())


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[FaceClient]:
    with FaceClient(server.grpc_address, timeout=SECONDS) as made:
        yield made


@pytest.fixture(scope="module")
def questions(server: GatewayServer) -> dict[str, Question]:
    """One of each sort."""
    return {question.kind: question for question in work_of(server, mix(*SORTS)).questions}


def test_a_photo_gets_face_clients_answer(
    server: GatewayServer, client: FaceClient, questions: dict[str, Question]
) -> None:
    expected = client.analyze(ASTRONAUT)
    tensors = doors["grpc"].answer(target_of(server, "grpc"), questions["photo"], timeout=SECONDS).tensors
    contract = client.contract()
    analysis = read_photo(tensors, tasks=contract.select(None), contract=contract)
    assert analysis.to_json() == expected.to_json()
    over_rest = doors["rest"].answer(target_of(server, "rest"), questions["photo"], timeout=SECONDS).tensors
    assert over_rest["boxes"].tolist() == pytest.approx(np.array([face.box for face in expected]), abs=0.01)
    assert over_rest["photo_size"].tolist() == [expected.width, expected.height]


def test_a_face_and_a_crop_get_face_clients_answers(
    server: GatewayServer, client: FaceClient, questions: dict[str, Question]
) -> None:
    contract = client.contract()
    face, crop = questions["face"], questions["crop"]
    expected = {
        "face": client.analyze_face(
            ASTRONAUT, box=face.inputs["box"][0].tolist(), landmarks=face.inputs["landmarks"][0]
        ),
        "crop": client.analyze_crop(crop.inputs["crop"][0]),
    }
    for sort, of_client in expected.items():
        tensors = doors["grpc"].answer(target_of(server, "grpc"), questions[sort], timeout=SECONDS).tensors
        answers = read_tasks(tensors, tasks=contract.select(None), count=1)[0]
        assert {task: answer.to_json() for task, answer in answers.items()} == {
            task: answer.to_json() for task, answer in of_client.answers.items()
        }
        assert answers


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_many_at_once_are_answered_over_one_connection(
    server: GatewayServer, questions: dict[str, Question], protocol: str
) -> None:
    sent = [question for question in questions.values() if protocol == "grpc" or question.photo] * 4
    assert replies(server, tuple(sent), protocol) == [Reply(faces=1)] * len(sent)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_an_answer_of_another_number_of_faces_is_wrong(
    server: GatewayServer, questions: dict[str, Question], protocol: str
) -> None:
    (end,) = replies(server, (dataclasses.replace(questions["photo"], faces=2),), protocol)
    assert (end.code, end.details) == ("WRONG", "the answer has 1 faces, where 2 were before")


def test_each_set_of_tasks_has_its_part_of_each_entry(server: GatewayServer, client: FaceClient) -> None:
    one, two = client.contract().names[:2]
    work = work_of(server, mix("face=1", "crop:3=2", tasks=((one,), (one, two))))
    shares = {each["kind"]: each["share"] for each in work.about}
    assert shares == {
        f"face, {one}": pytest.approx(1 / 6),
        f"face, {one}+{two}": pytest.approx(1 / 6),
        f"crop, 3 faces, {one}": pytest.approx(1 / 3),
        f"crop, 3 faces, {one}+{two}": pytest.approx(1 / 3),
    }
    assert [end.faces for end in replies(server, work.questions)] == [1, 1, 3, 3]
    assert work.questions[0].model == one  # as FaceClient does: no other head is run


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_made_photos_have_their_faces_and_sizes(server: GatewayServer, protocol: str) -> None:
    work = work_of(server, mix("photo:3@480p=1"), protocol)
    (question,) = work.questions
    assert (question.kind, question.faces) == ("photo, 3 faces, 480p", 3)
    assert [end.faces for end in replies(server, work.questions, protocol)] == [3]


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_pictures_of_a_folder_are_kinds_by_size_and_faces(
    server: GatewayServer, tmp_path: Path, protocol: str
) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(ASTRONAUT.read_bytes())
    (tmp_path / "notes.txt").touch()
    work = work_of(server, WorkOptions(photos=tmp_path), protocol)
    assert [question.kind for question in work.questions] == ["folder, 0-0.5 MP, 1 face"] * 2
    assert work.notes == (f"of the files below {tmp_path} were left out: 1 of other types",)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_file_that_is_no_picture_is_named_before_the_load(
    server: GatewayServer, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "notes.jpg").write_text("these are words")
    with pytest.raises(ValueError, match=r"notes\.jpg can't be sent.*not a picture"):
        work_of(server, WorkOptions(photos=tmp_path), protocol)


@pytest.mark.parametrize(
    ("protocol", "options", "wrong"),
    [
        ("rest", mix("crop=1"), "rest takes photos alone"),
        ("rest", mix("face=1"), "rest takes photos alone"),
        ("grpc", mix("photo=1", tasks=(("nothing",),)), "unknown task nothing"),
        ("rest", mix("photo=1", tasks=(("nothing",),)), "'nothing', which is not served"),
        ("grpc", mix("bird=1"), "'bird', which is none of photo, face, crop"),
        ("grpc", mix("face:2=1"), "several faces"),
        ("grpc", mix("crop@720p=1"), "leave @SIZE out"),
        ("grpc", WorkOptions(model="nothing"), "serves no model 'nothing': it has"),
        ("rest", WorkOptions(model="crop_analysis"), "serves no model 'crop_analysis'"),
        ("grpc", WorkOptions(model="photo_analysis"), "not a picture"),
        ("grpc", WorkOptions(model="crop_analysis", batch=999), "batches of"),
    ],
)
def test_what_the_server_can_not_answer_is_refused(
    server: GatewayServer, protocol: str, options: WorkOptions, wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        work_of(server, options, protocol)


def test_any_model_gets_tensors_of_its_shapes(server: GatewayServer) -> None:
    work = work_of(server, WorkOptions(model="crop_analysis", shapes={"crop": (40, 30, 3)}, batch=2))
    (question,) = work.questions
    assert question.inputs["crop"].shape == (2, 40, 30, 3)
    assert [end.code for end in replies(server, work.questions)] == ["OK"]


@pytest.mark.parametrize(
    ("protocol", "other", "wrong"),
    [
        ("grpc", "rest", "speaks HTTP, not gRPC"),
        ("rest", "grpc", "speaks no HTTP"),
        ("http", "grpc", "speaks no HTTP"),
        ("http", "rest", "has nothing at /v2"),
    ],
)
def test_another_protocols_port_is_a_sentence(
    server: GatewayServer, protocol: str, other: str, wrong: str
) -> None:
    address = target_of(server, other).address
    with pytest.raises(ConnectionError, match=f"{address} {wrong}"):
        doors[protocol].describe(Target(protocol=protocol, address=address), timeout=SECONDS)


def test_both_doors_describe_the_server(server: GatewayServer, client: FaceClient) -> None:
    grpc, rest = (doors[name].describe(target_of(server, name), timeout=SECONDS) for name in ("grpc", "rest"))
    assert grpc["version"]
    assert rest["version"]
    face = grpc["models"]["face_analysis"]
    assert {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in face["inputs"]} == {
        "image": ("UINT8", [-1, -1]),
        "box": ("FP32", [-1, 4]),
        "landmarks": ("FP32", [-1, 5, 2]),
    }
    assert "face_engine" in face["steps"]
    assert rest["contract"] == client.contract().hash
    assert list(rest["models"]) == list(client.models())
