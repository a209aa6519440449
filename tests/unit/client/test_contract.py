"""The client never names a label by a contract that is not the answer's own."""

import concurrent.futures
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import ContractError, ContractMismatch, FaceClient, ServerError, UnknownKind, UnknownTask
from qface_client.contract import parse_contract
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, serve

PHOTO = np.zeros((80, 100, 3), np.uint8)
OLD = contract_of(classes("mood", ["glad", "sad"]))
SWAPPED = contract_of(classes("mood", ["sad", "glad"]))
LARGER = contract_of(classes("mood", ["sad", "glad"]), classes("hat", ["none", "top"]))
OTHER = contract_of(classes("hat", ["none", "top"]))


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(OLD)


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    yield from serve(fake)


@pytest.fixture
def client(url: str) -> Iterator[FaceClient]:
    with FaceClient(url, timeout=10) as client:
        yield client


def test_the_contract_is_read_once_for_many_answers(fake: FakeServer, client: FaceClient) -> None:
    for _ in range(3):
        assert client.analyze(PHOTO)[0].mood.label == "glad"
    assert fake.reads == 1


def test_without_an_address_the_environment_names_the_server(
    fake: FakeServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFACE_URL", url)
    with FaceClient() as client:
        assert client.contract().hash == OLD["hash"]
    monkeypatch.delenv("QFACE_URL")
    with FaceClient() as client:
        assert client._url == "localhost:8001"


def test_labels_follow_a_hot_swap(fake: FakeServer, client: FaceClient) -> None:
    assert client.analyze(PHOTO)[0].mood.probabilities == {"glad": 1.0, "sad": 0.0}
    fake.contract = SWAPPED
    face = client.analyze(PHOTO)[0]
    assert face.mood.label == "sad"
    assert face.mood.probabilities == {"sad": 1.0, "glad": 0.0}
    assert face.contract is not None
    assert face.contract.hash == SWAPPED["hash"]


def test_a_swap_between_reading_the_contract_and_asking_is_noticed(
    fake: FakeServer, client: FaceClient
) -> None:
    def swap(number: int, context: grpc.ServicerContext) -> None:
        fake.contract = SWAPPED

    fake.before_infer = swap
    assert client.analyze(PHOTO)[0].mood.probabilities["sad"] == 1.0


def test_a_task_that_came_with_a_swap_is_answered_too(fake: FakeServer, client: FaceClient) -> None:
    client.analyze(PHOTO)
    fake.contract = LARGER
    assert set(client.analyze(PHOTO)[0].answers) == {"mood", "hat"}


def test_a_new_task_can_be_asked_for_by_name_without_a_restart(fake: FakeServer, client: FaceClient) -> None:
    client.analyze(PHOTO)
    fake.contract = LARGER
    assert client.analyze(PHOTO, tasks=["hat"])[0].hat.label == "none"


def test_tasks_are_one_text_with_commas_too(fake: FakeServer, client: FaceClient) -> None:
    fake.contract = LARGER
    assert set(client.analyze(PHOTO, tasks="hat, mood")[0].answers) == {"mood", "hat"}
    assert [task.name for task in client.contract().select("hat, mood")] == ["mood", "hat"]
    with pytest.raises(UnknownTask, match="unknown task cap: this server has mood, hat"):
        client.analyze(PHOTO, tasks="hat,cap")


def test_a_task_that_went_with_a_swap_is_unknown_and_not_the_callers_bad_input(
    fake: FakeServer, client: FaceClient
) -> None:
    client.analyze(PHOTO, tasks=["mood"])
    fake.contract = OTHER
    with pytest.raises(UnknownTask, match="unknown task mood: this server has hat"):
        client.analyze(PHOTO, tasks=["mood"])
    assert client.analyze(PHOTO)[0].hat.label == "none"


def test_replicas_of_two_versions_are_each_read_by_their_own_contract(
    fake: FakeServer, client: FaceClient
) -> None:
    client.analyze(PHOTO)
    fake.contract = SWAPPED
    client.analyze(PHOTO)
    reads = fake.reads
    for contract, first in ((OLD, "glad"), (SWAPPED, "sad"), (OLD, "glad")):
        fake.contract = contract
        assert client.analyze(PHOTO)[0].mood.probabilities[first] == 1.0
    assert fake.reads == reads


def test_an_answer_by_a_contract_that_no_model_states_is_never_named(
    fake: FakeServer, client: FaceClient
) -> None:
    fake.config = SWAPPED
    with pytest.raises(ContractError, match="attempts"):
        client.analyze(PHOTO)
    assert fake.infers == 4


def test_a_pin_accepts_its_contract_and_no_other(fake: FakeServer, url: str) -> None:
    with FaceClient(url, expect_contract=OLD["hash"]) as client:
        client.analyze(PHOTO)
        fake.contract = SWAPPED
        with pytest.raises(ContractMismatch) as caught:
            client.analyze(PHOTO)
    assert (caught.value.expected, caught.value.found) == (OLD["hash"], SWAPPED["hash"])


def test_threads_see_no_mislabelled_answer_while_the_contract_changes(
    fake: FakeServer, client: FaceClient
) -> None:
    def swap(number: int, context: grpc.ServicerContext) -> None:
        fake.contract = OLD if number // 5 % 2 else SWAPPED

    fake.before_infer = swap

    def winner(_: int) -> str:
        face = client.analyze(PHOTO)[0]
        assert face.contract is not None
        first = face.contract.tasks[0].labels[0]
        assert face.mood.label == first
        return str(max(face.mood.probabilities, key=face.mood.probabilities.__getitem__)) + "/" + first

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outcomes = set(pool.map(winner, range(40)))
    assert outcomes == {"glad/glad", "sad/sad"}


def test_only_the_outputs_of_the_wanted_tasks_are_requested(fake: FakeServer, client: FaceClient) -> None:
    fake.contract = LARGER
    client.analyze(PHOTO, tasks=["hat"])
    assert set(fake.asked) == {
        "boxes", "scores", "landmarks", "photo_size", "faces_found", "smallest_face", "contract",
        "hat_probabilities", "hat_label",
    }  # fmt: skip


def test_a_task_never_heard_of_is_answered_by_its_kind(fake: FakeServer, client: FaceClient) -> None:
    kinds = ("classes", "multilabel", "value", "rotation", "points", "mask")
    fake.contract = contract_of(
        *(
            {"name": f"new_{kind}", "kind": kind, "labels": ["a", "b", "c"], "unit": "furlongs"}
            for kind in kinds
        )
    )
    face = client.analyze(PHOTO)[0]
    assert face.new_classes.label == "a"
    assert face.new_multilabel.active == ["a"]
    assert face.new_value.furlongs == 31.25
    assert (face.new_rotation.a, face.new_rotation.c) == (0.0, 2.0)
    assert face.new_points["b"].tolist() == [0.0, 0.0]
    assert face.new_mask.of("a").shape == (4, 6)


def test_an_unknown_kind_hides_no_other_task_and_is_named_when_wanted(
    fake: FakeServer, client: FaceClient
) -> None:
    aura = {"name": "aura", "kind": "hologram", "labels": ["x"], "unit": "lux"}
    fake.contract = contract_of(classes("mood", ["glad", "sad"]), aura)
    face = client.analyze(PHOTO)[0]
    assert face.mood.label == "glad"
    with pytest.raises(AttributeError, match=r"'hologram', which qface-client \d+\.\d+\.\d+ does not know"):
        face.aura  # noqa: B018
    with pytest.raises(UnknownKind, match=r"'hologram', which qface-client \d+\.\d+\.\d+ does not know"):
        client.analyze(PHOTO, tasks=["aura"])


def _drop(name: str) -> Any:
    return lambda tensors: tensors.update({name: None})


def _reshape(tensors: dict[str, Any]) -> None:
    tensors["mood_probabilities"] = np.zeros((1, 3), np.float32)


def _foreign_label(tensors: dict[str, Any]) -> None:
    tensors["mood_label"] = np.array([[b"hangry"]], object)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop("mood_label"), "lacks 'mood_label'"),
        (_drop("contract"), "lacks 'contract'"),
        (_drop("boxes"), "lacks 'boxes'"),
        (_reshape, r"'mood_probabilities' has shape \[1, 3\] and not \[1, 2\]"),
        (_foreign_label, "answered 'hangry'"),
    ],
)
def test_an_answer_that_is_not_as_promised_is_the_servers_error(
    fake: FakeServer, client: FaceClient, change: Any, words: str
) -> None:
    fake.change_answer = change
    with pytest.raises(ServerError, match=words):
        client.analyze(PHOTO)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "can't be read"),
        ("{}", "'version' is missing"),
        (json.dumps({**OLD, "version": 2}), "has version 2"),
        (
            json.dumps({**OLD, "tasks": [{"name": "mood", "kind": "classes", "labels": [], "unit": ""}]}),
            "no list",
        ),
        (json.dumps({**OLD, "tasks": ["mood"]}), "can't be read"),
    ],
)
def test_a_contract_that_cannot_be_read_says_why(text: str, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        parse_contract(text)


def test_keys_that_a_later_server_adds_are_ignored() -> None:
    later = {**OLD, "colour": "blue", "tasks": [{**OLD["tasks"][0], "shade": "dark"}]}
    assert parse_contract(json.dumps(later)).names == ("mood",)
