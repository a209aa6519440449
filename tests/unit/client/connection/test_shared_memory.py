"""Large requests that are left in memory: what is there, what is kept, what becomes of those not taken."""

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import AsyncFaceClient, FaceClient, InvalidInput
from qface_client._connection.shared_memory import METADATA, SharedMemory
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running

MEGABYTE = 1 << 20
PHOTO = np.arange(2 * MEGABYTE, dtype=np.uint32).astype(np.uint8)[: 600 * 1000 * 3].reshape(600, 1000, 3)
PARTS = (b"head", memoryview(b"body" * MEGABYTE))
HERE = "localhost:8001"


def read(named: str) -> bytes:
    """What a gateway would copy."""
    process, descriptor, token, size = named.split(".")
    place = Path(f"/proc/{process}/fd/{descriptor}")
    assert place.readlink() == Path(f"/memfd:qface-{token} (deleted)")
    return place.read_bytes()[: int(size)]


class TakesNothing(FakeServer):
    """A server that knows nothing of shared memory: to it the request has no picture."""

    def __init__(self) -> None:
        super().__init__(contract_of(classes("mood", ["glad", "sad"])))
        self.before_infer = self._refuse_empty

    def _refuse_empty(self, number: int, context: grpc.ServicerContext) -> None:
        if not self.inputs:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "expected 1 inputs but got 0")


@pytest.fixture
def fake() -> TakesNothing:
    return TakesNothing()


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = SharedMemory(HERE)
    yield made
    made.close()


def test_a_region_has_the_request_and_is_named_for_the_gateway(memory: SharedMemory) -> None:
    with memory.holding(PARTS) as ((key, named),):
        assert key == METADATA
        assert read(named) == b"".join(PARTS)


def test_it_is_this_users_alone_and_goes_with_the_client(memory: SharedMemory) -> None:
    with memory.holding(PARTS) as ((_, named),):
        descriptor = int(named.split(".")[1])
        assert os.fstat(descriptor).st_nlink == 0  # it has no place in any folder
        assert not os.get_inheritable(descriptor)
    memory.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_a_region_is_used_again_by_requests_that_follow_and_by_no_two_at_once(memory: SharedMemory) -> None:
    with memory.holding(PARTS) as ((_, first),), memory.holding(PARTS) as ((_, second),):
        assert first != second
    with memory.holding((b"shorter" * MEGABYTE,)) as ((_, third),):
        assert read(third) == b"shorter" * MEGABYTE
    with memory.holding(PARTS) as ((_, fourth),):
        assert fourth.split(".")[:3] == third.split(".")[:3] or fourth in (first, second)


def test_one_whose_request_failed_is_not_written_again(memory: SharedMemory) -> None:
    with pytest.raises(ValueError, match="it failed"), memory.holding(PARTS) as ((_, first),):
        raise ValueError("it failed")
    with memory.holding(PARTS) as ((_, second),):
        assert first.split(".")[2] != second.split(".")[2]


def test_after_a_fork_nothing_is_shared_with_the_parent(
    memory: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with memory.holding(PARTS) as ((_, parents),):
        pass
    monkeypatch.setattr(os, "getpid", lambda: 2**22)
    with memory.holding(PARTS) as ((_, childs),):
        assert parents.split(".")[2] != childs.split(".")[2]


def test_small_requests_are_sent(memory: SharedMemory) -> None:
    assert memory.takes(PARTS)
    assert not memory.takes((b"small",))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_server_elsewhere_gets_everything_over_grpc_after_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not SharedMemory("faces.example:8001").takes(PARTS)
    (line,) = lines(caplog)
    assert line == (
        "shared memory is not used, requests go over gRPC: faces.example:8001 is not this machine"
    )


def test_a_server_that_does_not_take_it_gets_everything_over_grpc_after_one_line(
    fake: TakesNothing, caplog: pytest.LogCaptureFixture
) -> None:
    with running(fake) as url, FaceClient(url, shared_memory=True) as client:
        for _ in range(3):
            assert client.analyze(PHOTO)[0].mood.label == "glad"
            assert bytes(fake.inputs["image"]).endswith(PHOTO.tobytes())
    assert fake.infers == 4  # the first one twice
    (line,) = lines(caplog)
    assert "requests go over gRPC" in line
    assert "expected 1 inputs but got 0" in line


def test_of_an_asyncio_client_too(fake: TakesNothing, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(url: str) -> None:
        async with AsyncFaceClient(url, shared_memory=True) as client:
            for _ in range(2):
                assert (await client.analyze(PHOTO))[0].mood.label == "glad"

    with running(fake) as url:
        asyncio.run(talk(url))
    assert fake.infers == 3
    assert len(lines(caplog)) == 1


def test_a_request_that_is_to_blame_itself_changes_nothing(
    fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(number: int, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is no picture")

    fake.before_infer = refuse
    with running(fake) as url, FaceClient(url, shared_memory=True) as client:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="no picture"):
                client.analyze(PHOTO)
    named: list[Any] = [metadata.get(METADATA) for metadata in fake.metadata[1:]]
    assert [bool(each) for each in named] == [True, False, True, False]
    assert not lines(caplog)


def test_without_the_option_nothing_is_left_anywhere(fake: FakeServer) -> None:
    with running(fake) as url, FaceClient(url) as client:
        client.analyze(PHOTO)
    assert not [metadata for metadata in fake.metadata if METADATA in metadata]
