"""What errors tell a service: the status, the address, the failure behind the last one."""

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import (
    AsyncFaceClient,
    ConnectError,
    FaceClient,
    InvalidInput,
    NotPermitted,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    Tls,
)
from qface_client._exchange.retries import Retries
from qface_client._exchange.steps import Pause, ReadModel
from qface_client.recorded import Replayed
from tests.helpers.fake_v2_server import (
    FakeServer,
    closed_port,
    late,
    refuse,
)

PHOTO = np.zeros((80, 100, 3), np.uint8)
BUSY = ServerBusy("it has too much to do", retry_after=0.0)
REFUSED = ConnectError("no server answers (Connection refused)", retry_after=0.0)
BROKEN = ConnectError("the connection broke (Socket closed): it wants encryption", retry_after=0.0)
LATE = RequestTimeout("no answer in time")


# -- status ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "INVALID_ARGUMENT", "PERMISSION_DENIED", "INTERNAL"],
)
def test_an_error_has_the_servers_status(fake: FakeServer, url: str, status: str) -> None:
    fake.before_infer = refuse(99, getattr(grpc.StatusCode, status), "no", pushback="90000")
    with FaceClient(url) as client, pytest.raises(QFaceError) as caught:
        client.analyze(PHOTO)
    assert caught.value.status == status
    assert pickle.loads(pickle.dumps(caught.value)).status == status


def test_where_no_server_refused_there_is_no_status(fake: FakeServer, url: str) -> None:
    fake.before_infer = late(30)
    with FaceClient(url, timeout=0.3) as client:
        for photo, kind in ((PHOTO, RequestTimeout), ("missing.jpg", InvalidInput)):
            with pytest.raises(kind) as caught:
                client.analyze(photo)
            assert caught.value.status is None
    with (
        FaceClient(f"127.0.0.1:{closed_port()}", timeout=0.3) as client,
        pytest.raises(ConnectError) as nobody,
    ):
        client.analyze(PHOTO)
    assert nobody.value.status is None


def test_the_status_is_recorded(fake: FakeServer, url: str, tmp_path: Path) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.INTERNAL, "boom")
    with FaceClient(url, record=tmp_path / "answers") as client, pytest.raises(QFaceError):
        client.analyze(PHOTO)
    with FaceClient(transport=Replayed(tmp_path / "answers")) as client, pytest.raises(QFaceError) as caught:
        client.analyze(PHOTO)
    assert (caught.value.status, caught.value.server_message) == ("INTERNAL", "boom")


# -- which failure is told ------------------------------------------------------------------------------


def ended(*outcomes: Exception, seconds: float = 60.0) -> QFaceError:
    """With what a step ends whose tries end like this; the last outcome stands for all further ones."""
    now = [0.0]
    retries = Retries(enabled=True, connect=10.0, clock=lambda: now[0], jitter=lambda: 1.0)
    steps, waiting = retries.send(ReadModel(model="m", timeout=seconds)), list(outcomes)
    try:
        step = next(steps)
        while True:
            if isinstance(step, Pause):
                now[0] += step.seconds
                step = steps.send(None)
                continue
            outcome = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            now[0] += step.timeout if outcome is LATE else 0.0
            step = steps.throw(outcome)
    except QFaceError as error:
        return error


def test_a_failure_before_the_last_one_is_told_with_it() -> None:
    error = ended(BROKEN, REFUSED)
    assert isinstance(error, ConnectError)
    assert "Connection refused" in str(error)
    assert "; an earlier one: the connection broke (Socket closed): it wants encryption)" in str(error)
    assert "an earlier one: no server answers" in str(ended(REFUSED, BUSY))


def test_failures_of_one_sort_are_told_once() -> None:
    first, last = (ServerBusy(f"{waiting} wait", retry_after=0.0) for waiting in (17, 18))
    assert "earlier" not in str(ended(first, last))
    rate, overload = (ServerBusy(words, retry_after=0.0) for words in ("its rate", "too much waits"))
    rate.status = overload.status = "RESOURCE_EXHAUSTED"
    assert "earlier" not in str(ended(rate, overload))
    assert str(ended(BUSY, REFUSED, BUSY)).count("earlier") == 1


def test_a_call_that_is_late_tells_that_the_server_turned_others_away() -> None:
    retries = Retries(enabled=False, connect=1000.0, clock=lambda: 5.0)
    retries_of_another = retries.send(ReadModel(model="m", timeout=1.0))
    next(retries_of_another)
    late_one = retries.send(ReadModel(model="m", timeout=1.0))
    next(late_one)
    with pytest.raises(ServerBusy):
        retries_of_another.throw(BUSY)
    with pytest.raises(
        RequestTimeout, match=r"in time \(meanwhile it turned .* away: it has too much to do\)"
    ):
        late_one.throw(LATE)


def test_a_refusal_of_earlier_calls_is_not_told() -> None:
    now = [0.0]
    retries = Retries(enabled=False, connect=1000.0, clock=lambda: now[0])
    refused = retries.send(ReadModel(model="m", timeout=1.0))
    next(refused)
    with pytest.raises(ServerBusy):
        refused.throw(BUSY)
    now[0] = 100.0
    late_one = retries.send(ReadModel(model="m", timeout=1.0))
    next(late_one)
    with pytest.raises(RequestTimeout) as caught:
        late_one.throw(LATE)
    assert str(caught.value) == str(LATE)


def test_a_sentence_gives_one_advice(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(
        99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait; send it again later.", pushback="90000"
    )
    with FaceClient(url) as client, pytest.raises(ServerBusy) as caught:
        client.analyze(PHOTO)
    assert str(caught.value) == (
        f"the server at {url} can't take the request now (too many wait; send it again later)"
    )


def test_who_may_not_ask_for_all_tasks_is_told_how_to_ask_for_some(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.PERMISSION_DENIED, "not these")
    with FaceClient(url) as client, pytest.raises(NotPermitted, match=r"tasks= .*without it all"):
        client.analyze(PHOTO)


# -- what was wrong with the call -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names_file"),
    [
        ("The parameter min_score can't be 7.0: send a number from 0 to 1, or leave it out.", False),
        ("the request has priority 9", False),
        ("the picture is cut short", True),
    ],
)
def test_a_file_is_named_where_it_is_to_blame(
    fake: FakeServer, url: str, tmp_path: Path, words: str, names_file: bool
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a photo")
    fake.before_infer = refuse(99, grpc.StatusCode.INVALID_ARGUMENT, words)
    with FaceClient(url) as client, pytest.raises(InvalidInput) as caught:
        client.analyze(photo)
    assert str(caught.value) == (f"{photo}: {words}" if names_file else words)
    assert caught.value.file == (str(photo) if names_file else None)
    assert caught.value.call is not None
    assert caught.value.call.file == str(photo)


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "faces.example",
        "localhost:",
        "localhost:grpc",
        "localhost:99999",
        "::1",
        "[::1]",
        "[::1",
        "::1]:1",
    ],
)
@pytest.mark.parametrize("kind", [FaceClient, AsyncFaceClient])
def test_an_address_without_its_port_is_refused(kind: Callable[..., Any], address: str) -> None:
    with pytest.raises(InvalidInput, match=r"the address is host:port .* name both"):
        kind(address)


@pytest.mark.parametrize(
    "address",
    ["localhost:8001", "[::1]:8001", "unix:/tmp/faces", "dns:///localhost", "dns:///localhost:8001"],
)
def test_an_address_that_grpc_takes_as_it_stands_is_taken(address: str) -> None:
    FaceClient(address).close()


@pytest.mark.parametrize("name", ["root_certificates", "private_key", "certificate_chain"])
def test_a_certificate_is_given_by_its_path(name: str) -> None:
    secret: Any = b"-----BEGIN PRIVATE KEY-----"
    with pytest.raises(InvalidInput, match=f"{name} is the path of a PEM file, not bytes") as caught:
        Tls(**{name: secret})
    assert "BEGIN" not in str(caught.value)


# -- repr -----------------------------------------------------------------------------------------------


def test_a_client_shows_its_address_and_no_key() -> None:
    client = FaceClient("localhost:8001", api_key="a-secret-key")
    assert repr(client) == "<FaceClient localhost:8001>"
    client.close()
    assert repr(client) == "<FaceClient localhost:8001, closed>"

    async def shown() -> str:
        async with AsyncFaceClient(["127.0.0.1:1", "127.0.0.2:2"]) as twin:
            return repr(twin)

    assert asyncio.run(shown()) == "<AsyncFaceClient 127.0.0.1:1,127.0.0.2:2>"
