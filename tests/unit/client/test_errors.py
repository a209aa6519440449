"""Each failure has its own error and says what to do; nothing waits for ever."""

import asyncio
import re

import grpc
import numpy as np
import pytest

from qface_client import (
    AsyncFaceClient,
    ConnectError,
    FaceClient,
    InvalidInput,
    NotAuthenticated,
    NotPermitted,
    NotServed,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
    Timeout,
    errors,
)
from tests.helpers.fake_v2_server import (
    FakeServer,
    classes,
    closed_port,
    contract_of,
    late,
    refuse,
)
from tests.helpers.paths import ROOT

PHOTO = np.zeros((80, 100, 3), np.uint8)
QUEUE_FULL = "[request id: <id_unknown>] Exceeds maximum queue size"


@pytest.mark.parametrize("size", [(80, 100), (1000, 1000)], ids=["small", "3 MB"])
def test_a_full_queue_is_asked_again(fake: FakeServer, url: str, size: tuple[int, int]) -> None:
    fake.before_infer = refuse(2, grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
    with FaceClient(url) as client:
        assert client.analyze(np.zeros((*size, 3), np.uint8))[0].mood.label == "glad"
    assert fake.infers == 3


def test_a_queue_that_stays_full_is_told_apart_from_a_server_that_is_not_there(
    fake: FakeServer, url: str
) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
    with FaceClient(url, timeout=1) as client, pytest.raises(ServerBusy, match="Exceeds maximum queue size"):
        client.analyze(PHOTO)
    assert fake.infers > 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
        (grpc.StatusCode.INTERNAL, ServerError),
        (grpc.StatusCode.UNAUTHENTICATED, NotAuthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermitted),
        (grpc.StatusCode.NOT_FOUND, NotServed),
        (grpc.StatusCode.UNIMPLEMENTED, ConnectError),
    ],
)
def test_what_another_try_cannot_mend_is_not_tried_again(
    fake: FakeServer, url: str, code: grpc.StatusCode, kind: type[QFaceError]
) -> None:
    fake.before_infer = refuse(99, code, "no luck")
    with FaceClient(url) as client, pytest.raises(kind, match="no luck"):
        client.analyze(PHOTO)
    assert fake.infers == 1


def test_retries_can_be_turned_off(fake: FakeServer, url: str) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
    with FaceClient(url, retries=False) as client, pytest.raises(ServerBusy):
        client.analyze(PHOTO)
    assert fake.infers == 1


def test_an_own_channel_option_keeps_the_defaults(fake: FakeServer, url: str) -> None:
    fake.change_answer = lambda tensors: tensors.update(
        mood_probabilities=np.zeros((3_000_000, 2), np.float32)
    )
    with (
        FaceClient(url, options={"grpc.keepalive_time_ms": 60_000}) as client,
        pytest.raises(ServerError, match="has shape"),  # and not: message larger than max
    ):
        client.analyze(PHOTO)


def test_the_deadline_bounds_the_call(fake: FakeServer, url: str) -> None:
    fake.before_infer = late(30)
    with FaceClient(url, timeout=0.3) as client, pytest.raises(RequestTimeout, match="longer timeout"):
        client.analyze(PHOTO)


def test_the_deadline_bounds_retries_and_chunks_together(fake: FakeServer, url: str) -> None:
    fake.before_infer = late(0.2)
    with FaceClient(url, timeout=0.5) as client, pytest.raises(RequestTimeout):
        client.analyze_crops([PHOTO] * 20)
    assert fake.infers < 10


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_always_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Timeout(request=seconds)


def test_a_server_that_is_not_there_is_said_with_its_address() -> None:
    url = f"127.0.0.1:{closed_port()}"
    with (
        FaceClient(url) as client,
        pytest.raises(ConnectError, match=f"{url}.*Connection refused.*make serve"),
    ):
        client.analyze(PHOTO)


def test_a_port_that_speaks_no_grpc_is_not_waited_for() -> None:
    import http.server
    import threading

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"127.0.0.1:{web.server_port}"
        with FaceClient(url, timeout=Timeout(connect=30)) as client, pytest.raises(ConnectError) as caught:
            client.analyze(PHOTO)
        assert url in str(caught.value)  # and not: no server has answered within 30 s
        web.shutdown()


def test_an_address_with_a_scheme_is_refused_with_advice() -> None:
    with pytest.raises(InvalidInput, match="leave the scheme out"):
        FaceClient("http://localhost:8001")


def test_a_closed_client_says_so(url: str) -> None:
    client = FaceClient(url)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.analyze(PHOTO)


def test_the_asyncio_twin_answers_and_fails_alike(fake: FakeServer, url: str) -> None:
    async def talk() -> None:
        async with AsyncFaceClient(url, timeout=2) as client:
            analyses = await asyncio.gather(*(client.analyze(PHOTO) for _ in range(5)))
            assert [analysis[0].mood.label for analysis in analyses] == ["glad"] * 5
            fake.contract = contract_of(classes("mood", ["sad", "glad"]))
            assert (await client.analyze_crop(PHOTO)).mood.label == "sad"
            with pytest.raises(InvalidInput, match="empty"):
                await client.analyze(b"")
            fake.before_infer = refuse(99, grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
            with pytest.raises(ServerBusy):
                await client.analyze(PHOTO)
        with pytest.raises(RuntimeError, match="closed"):
            await client.analyze(PHOTO)

    asyncio.run(talk())


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    import inspect
    import re

    for name, method in inspect.getmembers(FaceClient, inspect.isfunction):
        if name.startswith("_") and name != "__init__":
            continue
        twin = getattr(AsyncFaceClient, name)
        blocking, asynchronous = (
            [str(each) for each in inspect.signature(of).parameters.values()] for of in (method, twin)
        )
        # It takes both sorts of transport, and of many photos.
        either = r" \| (qface_client\.transports\.AsyncTransport|collections\.abc\.AsyncIterable\[.*\]$)"
        assert blocking == [re.sub(either, "", each) for each in asynchronous], name


@pytest.mark.parametrize(
    ("status", "details", "kind"),
    [
        (
            "UNAVAILABLE",
            "failed to connect to all addresses; last error: x: Connection refused (111)",
            ConnectError,
        ),
        ("UNAVAILABLE", "Socket closed", ConnectError),
        ("UNAVAILABLE", "[request id: 1] Request timeout expired", ServerBusy),
        (
            "UNAVAILABLE",
            "Server is stopping, scheduler for model has stopped accepting new requests",
            ServerBusy,
        ),
        ("UNAVAILABLE", "Request for unknown model: 'x' has no available versions", ServerBusy),
        ("UNAVAILABLE", "Request for unknown model: 'x' is not at ready state", ServerBusy),
        ("UNAVAILABLE", "Request for unknown model: 'x' is not found", NotServed),
        ("NOT_FOUND", "Request for unknown model: 'x' is not found", NotServed),
        ("UNIMPLEMENTED", "Received http2 header with status: 404", ConnectError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", RequestTimeout),
        ("INTERNAL", "boom", ServerError),
        ("INTERNAL", "Received RST_STREAM with error code 2", ConnectError),
        ("", "", ServerError),
        ("UNAUTHENTICATED", "this server asks for a key", NotAuthenticated),
        ("PERMISSION_DENIED", "the task age is not open to this key", NotPermitted),
        ("RESOURCE_EXHAUSTED", "too many requests", ServerBusy),
        ("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max (9 vs. 4)", InvalidInput),
        ("RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max (9 vs. 4)", InvalidInput),
        ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (9 vs. 4)", ServerError),
        ("UNAVAILABLE", "x: Tls handshake failed (TSI_PROTOCOL_FAILURE): y: self signed", ConnectError),
    ],
)
def test_each_status_has_its_error(status: str, details: str, kind: type[QFaceError]) -> None:
    error = errors.from_grpc(f"StatusCode.{status}", details, url="here:1", model="photo_analysis")
    assert type(error) is kind
    assert "\n" not in str(error)


@pytest.mark.parametrize("status", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
@pytest.mark.parametrize(
    "words", ["the server is starting", "Socket closed", "unknown model", "larger than max", "not ready"]
)
def test_a_pushback_is_a_servers_mark_whatever_its_words(status: str, words: str) -> None:
    error = errors.from_grpc(f"StatusCode.{status}", words, url="here:1", model="age", pushback=1.5)
    assert type(error) is ServerBusy
    assert error.retry_after == 1.5
    assert words in str(error)


def test_a_server_that_stops_in_mid_run_is_not_taken_for_a_wrong_one() -> None:
    details = "Request for unknown model: 'photo_analysis' has no available versions"
    error = errors.from_grpc("StatusCode.UNAVAILABLE", details, url="here:1", model="photo_analysis")
    assert "is stopping or reloading 'photo_analysis'" in str(error)


def test_a_handshake_that_fails_names_what_the_tls_library_found() -> None:
    details = (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed "
        "(TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
        "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK"
    )
    error = errors.from_grpc("StatusCode.UNAVAILABLE", details, url="here:1", model="photo_analysis")
    assert "(CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate)" in str(error)
    assert "QFACE_TLS_CA" in str(error)


def test_tritons_own_words_are_left_out_of_a_servers_sentence() -> None:
    details = (
        "[request id: <id_unknown>] in ensemble 'face_analysis', the box is infinite: send finite numbers"
    )
    error = errors.from_grpc("StatusCode.INVALID_ARGUMENT", details, url="here:1", model="face_analysis")
    assert str(error) == "the box is infinite: send finite numbers"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    lines = (errors.__doc__ or "").splitlines()
    drawn = {line.partition("── ")[2].split()[0] for line in lines if "── " in line}
    real = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, QFaceError)
    }
    assert drawn | {"QFaceError"} == real


def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(
    fake: FakeServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    port = url.rpartition(":")[2]
    for address in (url, f"localhost:{port}"):
        with FaceClient(address, timeout=20) as client:
            assert client.analyze(PHOTO)[0].mood.label == "glad"


def test_a_proxy_that_stands_in_the_way_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("http_proxy", f"http://me:secret@{proxy}")
    with (
        FaceClient("faces.invalid:8001") as client,
        pytest.raises(ConnectError, match=f"http_proxy .*{proxy}: put faces.invalid into no_proxy") as caught,
    ):
        client.analyze(PHOTO)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["analyze", "detect"])
def test_no_call_outlives_its_deadline_when_the_address_is_silent(method: str) -> None:
    import socket

    with socket.socket() as silent:  # accepts connections by the backlog and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            FaceClient(url, timeout=Timeout(connect=0.5)) as client,
            pytest.raises(ConnectError, match=r"within 0\.5 s"),
        ):
            getattr(client, method)(PHOTO)


@pytest.mark.parametrize(
    "text",
    [errors.__doc__ or "", (ROOT / "docs/client/connections.md").read_text()],
    ids=["module", "page"],
)
def test_the_tree_of_errors_is_the_documented_one(text: str) -> None:
    documented, path = {"QFaceError": "Exception"}, ["QFaceError"]
    for indent, name in re.findall(r"^(?:    )?(│ +)?[├└]── (\w+) ", text, re.MULTILINE):
        path[1 + bool(indent) :] = [name]
        documented[name] = path[-2]
    classes_of = [getattr(errors, name) for name in errors.__all__]
    assert documented == {
        each.__name__: each.__base__.__name__ for each in classes_of if issubclass(each, Exception)
    }
