"""Before a load each question is asked once: a busy server again, a server that refuses it not."""

from typing import Any

import grpc
import numpy as np
import pytest

from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.protocols.mistakes import Busy
from deploy.loadtest.work.asked_server import AskedServer
from deploy.loadtest.work.question import Question
from tests.helpers import fake_v2_server

PHOTO = Question(
    kind="photo",
    model="photo_analysis",
    inputs={"image": np.frombuffer(b"picture", np.uint8)},
    outputs=("boxes", "scores"),
)


def asked(address: str, *, timeout: float) -> AskedServer:
    target = Target(protocol="grpc", address=address)
    return AskedServer(door=doors["grpc"], target=target, description={"models": {}}, timeout=timeout)


def refusing(times: int, code: grpc.StatusCode, *pushback: tuple[str, str]) -> fake_v2_server.FakeServer:
    """A server of three faces that answers after so many refusals."""
    fake = fake_v2_server.FakeServer(fake_v2_server.contract_of(), faces=3)

    def refuse(number: int, context: Any) -> None:
        if number <= times:
            context.set_trailing_metadata(pushback)
            context.abort(code, "not now")

    fake.before_infer = refuse
    return fake


def test_a_busy_server_is_asked_again() -> None:
    fake = refusing(2, grpc.StatusCode.RESOURCE_EXHAUSTED, ("grpc-retry-pushback-ms", "10"))
    with fake_v2_server.running(fake) as address:
        question, answer = asked(address, timeout=30).counted(PHOTO, what="photo")
    assert fake.infers == 3
    assert question.faces == 3
    assert set(answer.tensors) == {"boxes", "scores"}
    assert question.answer_bytes == answer.size > 0


def test_a_server_that_stays_busy_is_an_error_in_time() -> None:
    fake = refusing(99, grpc.StatusCode.UNAVAILABLE, ("grpc-retry-pushback-ms", "60000"))
    with fake_v2_server.running(fake) as address, pytest.raises(Busy, match="UNAVAILABLE not now"):
        asked(address, timeout=5).answer(PHOTO, what="photo")
    assert fake.infers == 1


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, ValueError, r"a\.jpg can't be sent, as .* refuses it: not now;"),
        (grpc.StatusCode.NOT_FOUND, ValueError, r"a\.jpg can't be sent"),
        (grpc.StatusCode.PERMISSION_DENIED, ConnectionError, "PERMISSION_DENIED not now"),
        (grpc.StatusCode.INTERNAL, ConnectionError, "INTERNAL not now"),
    ],
)
def test_what_would_be_refused_again_is_asked_once(
    code: grpc.StatusCode, kind: type[Exception], sentence: str
) -> None:
    fake = refusing(1, code)
    with fake_v2_server.running(fake) as address, pytest.raises(kind, match=sentence):
        asked(address, timeout=30).answer(PHOTO, what="a.jpg")
    assert fake.infers == 1
