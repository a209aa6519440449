"""A server of several networks: the client picks one by name, reads its contract, and follows a swap."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from qface_client import (
    AsyncFaceClient,
    ContractError,
    ContractMismatch,
    FaceClient,
    NotServed,
    UnknownModel,
    UnknownTask,
    cli,
)
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, serve

PHOTO = np.zeros((80, 100, 3), np.uint8)
FIRST = contract_of(classes("mood", ["glad", "sad"]))
OTHER = contract_of(classes("hat", ["none", "top"]))
CHANGED = contract_of(classes("hat", ["top", "none"]))


@pytest.fixture
def fake() -> FakeServer:
    fake = FakeServer(FIRST)
    fake.networks = {"one": "", "two": "two_"}
    fake.further = {"two_": OTHER}
    return fake


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    yield from serve(fake)


@pytest.fixture
def client(url: str) -> Iterator[FaceClient]:
    with FaceClient(url, timeout=10) as client:
        yield client


def test_each_model_answers_by_its_own_contract(client: FaceClient) -> None:
    crop = PHOTO[:64, :64]
    for model, task, contract in (("one", "mood", FIRST), ("two", "hat", OTHER), (None, "mood", FIRST)):
        assert client.contract(model=model).hash == contract["hash"]
        for face in (
            client.analyze(PHOTO, model=model)[0],
            client.analyze_face(PHOTO, model=model),
            client.analyze_face(PHOTO, tasks=[task], model=model),
            client.analyze_crop(crop, model=model),
            *client.analyze_crops([crop, crop, crop], model=model),
        ):
            assert list(face.answers) == [task]
            assert face.contract is not None
            assert face.contract.hash == contract["hash"]
    assert client.models() == ("one", "two")


def test_an_unknown_model_is_told_with_those_there_are(client: FaceClient, fake: FakeServer) -> None:
    with pytest.raises(UnknownModel, match="unknown model three: this server has one, two") as caught:
        client.analyze(PHOTO, model="three")
    assert caught.value.available == ("one", "two")
    assert fake.infers == 0
    with pytest.raises(UnknownTask, match="unknown task mood: this server has hat"):
        client.analyze(PHOTO, tasks=["mood"], model="two")


def test_a_server_that_names_no_models_answers_without_a_name_only(
    client: FaceClient, fake: FakeServer
) -> None:
    fake.networks = None
    assert client.analyze(PHOTO)[0].mood.label == "glad"
    with pytest.raises(UnknownModel, match="unknown model two: this server names none"):
        client.analyze(PHOTO, model="two")


def test_what_there_is_is_asked_once_for_many_answers(client: FaceClient, fake: FakeServer) -> None:
    for _ in range(3):
        client.analyze(PHOTO, model="two")
    assert fake.reads == 2  # what networks there are, and the contract of this one


def test_a_model_that_a_swap_moved_is_found_and_one_that_went_is_unknown(
    client: FaceClient, fake: FakeServer
) -> None:
    assert client.analyze(PHOTO, model="two")[0].hat.label == "none"
    fake.networks, fake.further, fake.contract = {"two": ""}, {}, CHANGED  # it is served alone now
    assert client.analyze(PHOTO, model="two")[0].hat.label == "top"
    # The plain names are another network's now, and they are served as before.
    fake.networks, fake.further, fake.contract = {"one": "", "two": "second_"}, {"second_": OTHER}, FIRST
    assert client.analyze(PHOTO, model="two")[0].hat.label == "none"


@pytest.mark.parametrize("tasks", [None, ["mood"]])
def test_plain_names_that_a_swap_gave_to_another_model_are_not_taken_for_the_first(
    client: FaceClient, fake: FakeServer, tasks: list[str] | None
) -> None:
    for model in ("one", "two"):
        client.analyze(PHOTO, model=model)
    fake.networks, fake.further, fake.contract = {"two": ""}, {}, OTHER
    with pytest.raises(UnknownModel, match="unknown model one: this server has two"):
        client.analyze(PHOTO, tasks=tasks, model="one")


def test_a_model_that_went_is_unknown(client: FaceClient, fake: FakeServer) -> None:
    client.analyze(PHOTO, model="two")
    fake.networks, fake.further = {"one": ""}, {}
    with pytest.raises(UnknownModel, match="unknown model two: this server has one"):
        client.analyze(PHOTO, model="two")


def test_a_model_that_is_named_and_not_served_is_told_and_asked_no_further(
    client: FaceClient, fake: FakeServer
) -> None:
    fake.further = {}
    with pytest.raises(NotServed, match="does not serve 'two_photo_analysis'"):
        client.analyze(PHOTO, model="two")


def test_a_swap_of_a_further_model_s_contract_is_followed(client: FaceClient, fake: FakeServer) -> None:
    assert client.analyze(PHOTO, model="two")[0].hat.label == "none"
    fake.further = {"two_": CHANGED}
    face = client.analyze(PHOTO, model="two")[0]
    assert face.hat.probabilities == {"top": 1.0, "none": 0.0}


def test_a_pin_is_held_against_the_model_that_answers(fake: FakeServer, url: str) -> None:
    with FaceClient(url, timeout=10, expect_contract=OTHER["hash"]) as client:
        assert client.analyze(PHOTO, model="two")[0].hat.label == "none"
        with pytest.raises(ContractMismatch):
            client.analyze(PHOTO)


def test_a_list_of_models_that_can_not_be_read_is_the_server_s_fault(
    client: FaceClient, fake: FakeServer
) -> None:
    fake.networks = ["two"]  # type: ignore[assignment]
    with pytest.raises(ContractError, match="list of models can't be read"):
        client.analyze(PHOTO, model="two")


def test_the_notice_is_the_operator_s_text_and_empty_where_there_is_none(
    client: FaceClient, fake: FakeServer, url: str
) -> None:
    assert client.notice() == ""
    fake.notice = "You are being counted."
    assert client.notice() == client.notice(model="two") == "You are being counted."

    async def ask() -> str:
        async with AsyncFaceClient(url, timeout=10) as twin:
            return await twin.notice()

    assert asyncio.run(ask()) == "You are being counted."


def test_the_precision_is_the_engine_s_and_empty_where_it_is_not_stated(
    client: FaceClient, fake: FakeServer
) -> None:
    assert client.precision() == ""
    fake.precision = "bf16"
    assert client.precision() == client.precision(model="two") == "bf16"


def test_the_asyncio_twin_picks_a_model_too(url: str) -> None:
    async def ask() -> tuple[str, tuple[str, ...]]:
        async with AsyncFaceClient(url, timeout=10) as client:
            face = (await client.analyze(PHOTO, model="two"))[0]
            return face.hat.label, await client.models()

    assert asyncio.run(ask()) == ("none", ("one", "two"))


def test_the_command_takes_the_model_s_name(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--url", url, "--model", "two"]) == 0
    said = capsys.readouterr().out
    assert OTHER["hash"] in said
    assert "models: one, two" in said
    assert cli.main(["info", "--url", url, "--model", "three"]) == 2
    assert "unknown model three: this server has one, two" in capsys.readouterr().err
