"""What errors carry: what was asked for, the server's own words, whether another try makes sense."""

import asyncio
import copy
import math
import pickle
import traceback
from pathlib import Path

import grpc
import numpy as np
import pytest

from qface_client import (
    AsyncFaceClient,
    Call,
    ConnectError,
    ContractError,
    ContractMismatch,
    FaceClient,
    InvalidInput,
    NotPermitted,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
    UnknownKind,
    UnknownModel,
    UnknownTask,
    errors,
)
from tests.helpers.fake_v2_server import (
    FakeServer,
    closed_port,
    late,
    refuse,
)

PHOTO = np.zeros((80, 100, 3), np.uint8)
KEY = "a-secret-key"


EXAMPLES = [
    InvalidInput("is empty", file="a.jpg"),
    UnknownTask(["mood"], available=["age"]),
    UnknownModel("large", available=[]),
    ConnectError("refused", retry_after=0.0),
    ConnectError("no gRPC"),
    RequestTimeout("late"),
    ServerBusy("full", retry_after=3.0),
    ServerBusy("full", retry_after=math.inf),
    ContractError("changed", retryable=True),
    ContractMismatch(expected="a", found="b"),
    UnknownKind("a task answers in a kind of tomorrow"),
    *(
        kind("a sentence")
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, QFaceError) and name.startswith(("Not", "Server"))
        if name not in ("ServerBusy",)
    ),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
@pytest.mark.parametrize(
    "copier", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_every_error_is_the_same_after_pickling_and_copying(error: QFaceError, copier: object) -> None:
    error.server_message = "the server's words"
    error.call = Call(method="analyze", url="here:1", tasks=("age",), file="a.jpg", bytes=7)
    copied = copier(error)  # type: ignore[operator]
    assert type(copied) is type(error)
    assert (str(copied), vars(copied)) == (str(error), vars(error))


def test_every_class_of_the_tree_is_among_the_examples() -> None:
    kinds = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QFaceError)
    }
    assert kinds - {type(error) for error in EXAMPLES} == {QFaceError}


def test_another_try_makes_sense_where_the_error_says_so() -> None:
    retryable = {str(error) for error in EXAMPLES if error.retryable}
    assert retryable == {"refused", "late", "full", "changed"}
    assert not ServerBusy("for good", retry_after=math.inf).retryable


@pytest.mark.parametrize(
    ("code", "words", "server_message"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "[request id: 1] no picture", "no picture"),
        (grpc.StatusCode.PERMISSION_DENIED, "not this task", "not this task"),
        (grpc.StatusCode.INTERNAL, "boom", "boom"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "waited too long here", "waited too long here"),
    ],
)
def test_the_servers_own_words_stand_apart_from_the_sentence(
    fake: FakeServer, url: str, code: grpc.StatusCode, words: str, server_message: str
) -> None:
    fake.before_infer = refuse(99, code, words)
    with FaceClient(url) as client, pytest.raises(QFaceError) as caught:
        client.analyze(PHOTO)
    assert caught.value.server_message == server_message


def test_words_of_a_refusal_that_was_tried_again_are_the_last_ones(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait", pushback="40")
    with FaceClient(url, timeout=0.5) as client, pytest.raises(ServerBusy, match="tries in") as caught:
        client.analyze(PHOTO)
    assert (caught.value.server_message, caught.value.retryable) == ("too many wait", True)


def test_what_grpc_itself_writes_is_no_servers_word(fake: FakeServer, url: str) -> None:
    fake.before_infer = late(30)
    with FaceClient(url, timeout=0.3) as client, pytest.raises(RequestTimeout) as late_answer:
        client.analyze(PHOTO)
    with (
        FaceClient(f"127.0.0.1:{closed_port()}", timeout=0.3) as client,
        pytest.raises(ConnectError) as nobody,
    ):
        client.analyze(PHOTO)
    assert (late_answer.value.server_message, nobody.value.server_message) == (None, None)


def test_errors_say_what_was_asked_for(fake: FakeServer, url: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"not much of one")
    with FaceClient(url) as client:
        fake.before_infer = refuse(99, grpc.StatusCode.INVALID_ARGUMENT, "no picture")
        with pytest.raises(InvalidInput) as caught:
            client.analyze(photo, tasks=["mood"])
        assert caught.value.call == Call(
            method="analyze", url=url, tasks=("mood",), file=str(photo), bytes=photo.stat().st_size
        )
        with pytest.raises(InvalidInput) as of_array:
            client.analyze_crop(PHOTO, "mood")
        assert of_array.value.call == Call(method="analyze_crop", url=url, tasks=("mood",))
        with pytest.raises(UnknownModel) as of_model:
            client.contract(model="large")
        assert of_model.value.call == Call(method="contract", url=url, model="large")


def test_an_error_before_anything_was_sent_says_it_too(url: str) -> None:
    async def ask() -> None:
        async with AsyncFaceClient(url) as client:
            await client.analyze("missing.jpg", tasks=(name for name in ("mood",)))

    with pytest.raises(InvalidInput, match=r"^missing.jpg: can't be read") as caught:
        asyncio.run(ask())
    assert caught.value.call == Call(method="analyze", url=url, file="missing.jpg")


def test_no_key_and_no_picture_is_in_an_error(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.PERMISSION_DENIED, "not this task")
    with FaceClient(url, api_key=KEY) as client, pytest.raises(NotPermitted) as caught:
        client.analyze(PHOTO)
    pickled = pickle.dumps(caught.value)
    assert KEY.encode() not in pickled
    assert len(pickled) < 2000
    # What reports crashes often has the local variables of each frame.
    linked: list[BaseException | None] = [caught.value, caught.value.__cause__]
    frames = [frame for error in linked if error for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert not any(KEY in repr(value) for frame in frames for value in frame.f_locals.values())


def test_an_answer_that_cannot_be_read_is_of_the_call_too(fake: FakeServer, url: str) -> None:
    fake.change_answer = lambda tensors: tensors.update(boxes=np.zeros((1, 3), np.float32))
    with FaceClient(url) as client, pytest.raises(ServerError) as caught:
        client.analyze(PHOTO)
    assert caught.value.call is not None
    assert (caught.value.call.method, caught.value.call.bytes) == ("analyze", PHOTO.nbytes + 14)
