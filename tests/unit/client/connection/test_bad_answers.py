"""Whatever answers at the address: an error of the tree, within the deadline, from both clients."""

import asyncio
import concurrent.futures
import contextlib
import http.server
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2

from qface_client import (
    AsyncFaceClient,
    ConnectError,
    ContractError,
    FaceClient,
    QFaceError,
    RequestTimeout,
    ServerError,
    Timeout,
    Tls,
)
from tests.helpers.certificates import Authority
from tests.helpers.cut_connections import cut_after
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of, late, running
from tests.helpers.misbehaving_servers import ENDINGS, misbehaving, silent

PHOTO = np.zeros((80, 100, 3), np.uint8)
SECONDS = 0.4
NO_ANSWER = Timeout(request=SECONDS, connect=SECONDS / 2)
LATE = Timeout(request=SECONDS)
CUT = Timeout(request=2 * SECONDS)

both = pytest.mark.parametrize("twin", [False, True], ids=["blocking", "asyncio"])


def failure(url: str, *, twin: bool, timeout: Timeout | float = 20.0, **arguments: Any) -> QFaceError:
    """What a call raises, which comes within its deadline (and what a loaded machine takes)."""

    async def ask_twin() -> None:
        async with AsyncFaceClient(url, timeout=timeout, **arguments) as client:
            read(await client.analyze(PHOTO))

    def ask() -> None:
        with FaceClient(url, timeout=timeout, **arguments) as client:
            read(client.analyze(PHOTO))

    began = time.monotonic()
    with pytest.raises(QFaceError) as caught:
        asyncio.run(ask_twin()) if twin else ask()
    deadline = timeout.request if isinstance(timeout, Timeout) else timeout
    assert time.monotonic() - began < deadline + 10
    assert "\n" not in str(caught.value)
    return caught.value


def read(analysis: Any) -> None:
    """Read all of an answer."""
    for face in analysis:
        assert face.mood.label in face.mood.probabilities
        face.to_dict()


# -- what answers is no gRPC server ---------------------------------------------------------------------


@contextlib.contextmanager
def web_page(status: int) -> Iterator[str]:
    """A web server of HTTP/1.1, or a proxy whose server has gone."""

    class Page(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"HTTP/1.1 %d Status\r\nContent-Length: 6\r\n\r\n<html>" % status)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{web.server_port}"
        finally:
            web.shutdown()
            thread.join()


@contextlib.contextmanager
def other_service() -> Iterator[str]:
    """A gRPC server of another protocol."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


NOT_GRPC: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "nobody": lambda: contextlib.nullcontext(f"127.0.0.1:{closed_port()}"),
    "silent": silent,
    "a web page": lambda: web_page(200),
    "a proxy": lambda: web_page(502),
    "another service": other_service,
    **{ending: (lambda ending=ending: misbehaving(ending)) for ending in ENDINGS},
}


@both
@pytest.mark.parametrize("server", NOT_GRPC)
def test_what_is_no_server_of_the_protocol_is_a_connect_error(server: str, twin: bool) -> None:
    with NOT_GRPC[server]() as url:
        error = failure(url, twin=twin, timeout=NO_ANSWER)
    assert isinstance(error, ConnectError)
    assert error.retryable is (server != "another service")
    words = "is it the HTTP port, or a proxy"
    assert (words in str(error)) is (server not in ("nobody", "silent", "reset", "close"))


@both
def test_encryption_on_one_side_only_is_a_connect_error_that_names_it(
    fake: FakeServer, url: str, twin: bool, tmp_path: Path
) -> None:
    authority = Authority()
    error = failure(
        url, twin=twin, timeout=NO_ANSWER, tls=Tls(root_certificates=authority.write(tmp_path / "ca.pem"))
    )
    assert isinstance(error, ConnectError)
    assert "does the server speak TLS" in str(error)
    chain, key = authority.issue(tmp_path, "server", "localhost")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    with running(fake, credentials=credentials) as encrypted:
        error = failure(encrypted, twin=twin, timeout=NO_ANSWER)
    assert isinstance(error, ConnectError)
    assert "wants an encrypted connection (QFACE_TLS=1" in str(error)


# -- a server that stalls or breaks off -----------------------------------------------------------------


@both
def test_a_server_that_does_not_answer_a_call_is_a_timeout(fake: FakeServer, url: str, twin: bool) -> None:
    fake.before_infer = late(30)
    assert isinstance(failure(url, twin=twin, timeout=LATE), RequestTimeout)


@both
@pytest.mark.parametrize(("stalls", "kind"), [(True, RequestTimeout), (False, ConnectError)])
def test_an_answer_that_ends_in_its_middle(
    fake: FakeServer, url: str, stalls: bool, kind: type[QFaceError], twin: bool
) -> None:
    fake.change_answer = lambda tensors: tensors.update(boxes=np.zeros((100_000, 4), np.float32))
    with cut_after(url, 100_000, stalls=stalls) as relay:
        error = failure(relay, twin=twin, timeout=LATE if stalls else CUT)
    assert isinstance(error, kind)
    assert error.retryable


# -- answers that are none ------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(reply: bytes, config: bytes) -> Iterator[str]:
    """A server that answers each call with these bytes."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(lambda request, context, data=data: data)
        for name, data in (("ModelInfer", reply), ("ModelConfig", config))
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def config_of(**parameters: str) -> bytes:
    response = v2.ModelConfigResponse()
    for name, value in parameters.items():
        response.config.parameters[name].string_value = value
    return response.SerializeToString()


CONFIG = config_of(contract=json.dumps(contract_of(classes("mood", ["glad", "sad"]))))


@both
@pytest.mark.parametrize("reply", [b"\xff" * 100, b"<html>", b"\x0a\x02\xff\xfe", b"\x00"])
def test_bytes_that_are_no_message_are_a_server_error_and_nothing_is_logged(
    reply: bytes, twin: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for replied, config in ((reply, CONFIG), (b"", reply)):
            with answering(replied, config) as url:
                error = failure(url, twin=twin)
            assert isinstance(error, ServerError)
            assert not error.retryable
    assert not caplog.records


@pytest.mark.parametrize(
    "contract",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        "[" * 100_000,
        '{"version": 1e999}',
        '{"version": 1, "hash": "h", "input_size": 1, "tasks": [{"name": "a", "kind": "classes"}]}',
        '{"version": 1, "hash": "h", "input_size": 1, "tasks": 7}',
        json.dumps({"version": 1, "hash": "h", "input_size": 1, "tasks": {"a": {}}}),
        "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
    ],
    ids=lambda contract: contract[:20],
)
def test_a_contract_that_is_none_is_an_error_of_the_tree(contract: str) -> None:
    with answering(b"", config_of(contract=contract)) as url:
        assert isinstance(failure(url, twin=False), ContractError | ServerError)
    for name in ("models", "request_parameters"):
        contract_too = json.dumps(contract_of(classes("mood", ["glad", "sad"])))
        with (
            answering(b"", config_of(contract=contract_too, **{name: contract or "{"})) as url,
            FaceClient(url, timeout=20) as client,
            contextlib.suppress(ContractError, ServerError),
        ):
            client.models()


BAD_TENSORS: dict[str, dict[str, Any]] = {
    "boxes of another shape": {"boxes": np.zeros((1, 3), np.float32)},
    "boxes without faces": {"boxes": np.zeros((0, 4), np.float32)},
    "more boxes than scores": {"boxes": np.zeros((7, 4), np.float32)},
    "a box of NaN": {"boxes": np.full((1, 4), np.nan, np.float32)},
    "an infinite score": {"scores": np.array([np.inf], np.float32)},
    "texts for boxes": {"boxes": np.array([[b"1", b"2", b"3", b"4"]], object)},
    "texts for scores": {"scores": np.array([b"high"], object)},
    "numbers for labels": {"mood_label": np.zeros((1, 1), np.float32)},
    "a label that is no text": {"mood_label": np.array([[b"\xff\xfe"]], object)},
    "an unknown label": {"mood_label": np.array([[b"angry"]], object)},
    "probabilities of NaN": {"mood_probabilities": np.full((1, 2), np.nan, np.float32)},
    "probabilities of another size": {"mood_probabilities": np.zeros((1, 5), np.float32)},
    "texts for probabilities": {"mood_probabilities": np.array([[b"a", b"b"]], object)},
    "no probabilities": {"mood_probabilities": None},
    "numbers for the contract": {"contract": np.zeros(1, np.float32)},
    "no contract": {"contract": None},
    "a contract that is no text": {"contract": np.array([b"\xff"], object)},
    "two contracts": {"contract": np.array([b"a", b"b"], object)},
    "a photo without size": {"photo_size": np.zeros(1, np.int32)},
    "the size as texts": {"photo_size": np.array([b"1", b"2"], object)},
    "faces_found as texts": {"faces_found": np.array([b"many"], object)},
}


@pytest.mark.parametrize("tensors", BAD_TENSORS)
def test_tensors_that_are_not_as_promised_are_a_server_error(
    fake: FakeServer, url: str, tensors: str
) -> None:
    fake.change_answer = lambda answer: answer.update(BAD_TENSORS[tensors])
    error = failure(url, twin=False)
    assert isinstance(error, ServerError)
    assert error.call is not None


def test_a_contract_that_is_another_at_each_answer_is_given_up_as_one_that_changes(
    fake: FakeServer, url: str
) -> None:
    fake.change_answer = lambda answer: answer.update(contract=np.array([b"%d" % fake.infers], object))
    with (
        FaceClient(url) as client,
        pytest.raises(ContractError, match="when the server has settled") as caught,
    ):
        client.analyze(PHOTO)
    assert caught.value.retryable


def response_of(raw: Sequence[bytes] = (bytes(16),), **changes: Any) -> bytes:
    """An answer whose only output is changed."""
    response = v2.ModelInferResponse(
        model_name="photo_analysis",
        outputs=[{"name": "boxes", "datatype": "FP32", "shape": [1, 4], **changes}],
        raw_output_contents=raw,
    )
    return response.SerializeToString()


@pytest.mark.parametrize(
    "changes",
    [
        {"datatype": "FP33"},
        {"datatype": ""},
        {"datatype": "BF16"},
        {"datatype": "BYTES"},
        {"shape": [1, 5]},
        {"shape": [-3, 4]},
        {"shape": [1 << 62, 1 << 62]},
        {"shape": [1] * 100},
        {"datatype": "INT64"},
        {"raw": [], "datatype": "BYTES"},
    ],
    ids=str,
)
def test_tensors_whose_bytes_are_not_what_they_say_are_a_server_error(changes: dict[str, Any]) -> None:
    with answering(response_of(**changes), CONFIG) as url:
        assert isinstance(failure(url, twin=False), ServerError)


def test_a_server_that_cannot_be_read_is_asked_once(fake: FakeServer, url: str) -> None:
    fake.change_answer = lambda answer: answer.update(boxes=None)
    failure(url, twin=False)
    assert fake.infers == 1


@both
def test_an_answer_of_40_megabytes_arrives(twin: bool) -> None:
    boxes = np.zeros((2_500_000, 4), np.float32)
    response = v2.ModelInferResponse(
        outputs=[{"name": "boxes", "datatype": "FP32", "shape": boxes.shape}],
        raw_output_contents=[boxes.tobytes()],
    )
    with answering(response.SerializeToString(), CONFIG) as url:
        error = failure(url, twin=twin)
    assert isinstance(error, ServerError)
    assert "the answer lacks" in str(error)  # and not that it is too large
