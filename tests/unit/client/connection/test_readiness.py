"""Whether a server is there: one look, and waiting for it."""

import socket
import threading
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import (
    AsyncFaceClient,
    ConnectError,
    ContractMismatch,
    FaceClient,
    NotAuthenticated,
    NotServed,
    QFaceError,
    ServerBusy,
)
from qface_client.transports import Infer, ModelInfo, ReadModel, Reply
from tests.helpers.client_calls import InLoop
from tests.helpers.fake_v2_server import (
    FakeServer,
    closed_port,
    late,
    refuse,
    running,
)

PHOTO = np.zeros((80, 100, 3), np.uint8)
STARTING = (grpc.StatusCode.UNAVAILABLE, "the server is starting")


def opened(url: str, *, twin: bool, **options: Any) -> Any:
    return InLoop(lambda: AsyncFaceClient(url, **options)) if twin else FaceClient(url, **options)


both = pytest.mark.parametrize("twin", [False, True], ids=["blocking", "asyncio"])


@both
def test_a_server_that_answers_is_ready_and_one_that_starts_is_not(
    fake: FakeServer, url: str, twin: bool
) -> None:
    with opened(url, twin=twin) as client:
        assert client.is_ready() is True
        fake.before_read = refuse(2, *STARTING, pushback="1")
        assert client.is_ready() is False
        assert fake.reads == 2  # one try each
        assert client.is_ready(timeout=5) is True


@both
def test_where_nothing_listens_or_answers_nothing_is_ready(fake: FakeServer, url: str, twin: bool) -> None:
    with opened(f"127.0.0.1:{closed_port()}", twin=twin) as client:
        assert client.is_ready() is False
    fake.before_read = late(30)
    with opened(url, twin=twin) as client:
        assert client.is_ready(timeout=0.2) is False


@both
def test_a_server_that_this_caller_can_not_use_is_not_ready(fake: FakeServer, url: str, twin: bool) -> None:
    with opened(url, twin=twin, expect_contract="another") as client:
        assert client.is_ready() is False
    fake.before_read = refuse(99, grpc.StatusCode.UNAUTHENTICATED, "no key")
    with opened(url, twin=twin) as client:
        assert client.is_ready() is False


def test_to_look_counts_as_contact(fake: FakeServer, url: str) -> None:
    with FaceClient(url) as client:
        assert client.is_ready()
        assert client.analyze(PHOTO)[0].mood.label == "glad"
        assert fake.reads == 1  # what was read is remembered


def test_a_server_that_starts_later_than_its_client_is_waited_for(fake: FakeServer) -> None:
    # Bound and not listened at: connections are refused, and nobody else gets the port.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with FaceClient(f"127.0.0.1:{port}") as client:
            done = threading.Event()

            def wait() -> None:
                client.wait_until_ready(60)
                done.set()

            waiting = threading.Thread(target=wait)
            waiting.start()
            assert not done.wait(1.2)  # past what a first call looks for a server
            fake.before_read = refuse(1, *STARTING, pushback="50")
            with running(fake, port=port):
                assert done.wait(30)
                waiting.join()
                assert client.analyze(PHOTO)[0].mood.label == "glad"


@both
def test_at_the_end_of_the_wait_the_last_trys_error_is_raised(fake: FakeServer, url: str, twin: bool) -> None:
    with (
        opened(f"127.0.0.1:{closed_port()}", twin=twin) as client,
        pytest.raises(ConnectError, match="no server answers"),
    ):
        client.wait_until_ready(timeout=0.7)
    fake.before_read = refuse(99, *STARTING, pushback="1")
    with opened(url, twin=twin) as client, pytest.raises(ServerBusy, match="is starting"):
        client.wait_until_ready(timeout=0.7)
    assert fake.reads == 2


@both
@pytest.mark.parametrize(
    ("options", "code", "kind"),
    [
        ({"expect_contract": "another"}, None, ContractMismatch),
        ({}, grpc.StatusCode.UNAUTHENTICATED, NotAuthenticated),
    ],
)
def test_what_waiting_does_not_mend_is_raised_at_once(
    fake: FakeServer, url: str, twin: bool, options: dict[str, Any], code: Any, kind: type[QFaceError]
) -> None:
    if code is not None:
        fake.before_read = refuse(99, code, "no")
    with opened(url, twin=twin, **options) as client, pytest.raises(kind) as caught:
        client.wait_until_ready()
    assert fake.reads == 1
    assert caught.value.call is not None
    assert caught.value.call.method == "wait_until_ready"


def test_a_triton_that_still_loads_its_models_is_waited_for(fake: FakeServer, url: str) -> None:
    fake.before_read = refuse(1, grpc.StatusCode.UNAVAILABLE, "Request for unknown model: not found")
    with FaceClient(url) as client:
        with pytest.raises(NotServed):
            client.contract()
        fake.before_read = refuse(2, grpc.StatusCode.UNAVAILABLE, "Request for unknown model: not found")
        client.wait_until_ready()


@both
def test_any_transport_can_be_ready(twin: bool) -> None:
    class Transport:
        def read_model(self, step: ReadModel) -> ModelInfo:
            raise NotServed("nothing here")

        def infer(self, step: Infer) -> Reply:
            raise AssertionError

        def close(self) -> None: ...

    made: Any = (
        InLoop(lambda: AsyncFaceClient(transport=Transport())) if twin else FaceClient(transport=Transport())
    )
    with made as client:
        assert client.is_ready() is False


@both
def test_a_client_that_is_closed_says_so(url: str, twin: bool) -> None:
    with opened(url, twin=twin) as client:
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.is_ready()
        with pytest.raises(RuntimeError, match="closed"):
            client.wait_until_ready()
