"""The load's REST client: one end for each request, and connections that are dropped on purpose."""

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.benchmark.load.rest import RestClient

PHOTO = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """Answers by the query: a status, or nothing; notes what came."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        expected = int(self.headers["Content-Length"])
        body = self.rfile.read(expected)
        self.server.bodies.append((self.path, dict(self.headers), body, expected))  # type: ignore[attr-defined]
        if "hang=up" in self.path:
            self.close_connection = True
            return
        status = int(self.path.partition("status=")[2] or 200)
        content = json.dumps({"faces": []} if status == 200 else {"reason": "overload"}).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.bodies = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.fixture
def client(server: ThreadingHTTPServer) -> Iterator[RestClient]:
    made = RestClient(f"127.0.0.1:{server.server_port}", metadata=[("authorization", "Bearer key")])
    yield made
    made.close()


def test_a_photo_is_sent_with_key_and_query(server: ThreadingHTTPServer, client: RestClient) -> None:
    reply, value = client.analyze(PHOTO, query={"tasks": "a,b"}, deadline=10)
    assert (reply.code, value) == ("OK", {"faces": []})
    path, headers, body, _ = server.bodies[0]  # type: ignore[attr-defined]
    assert path == "/v1/analyze?tasks=a%2Cb"
    assert headers["authorization"] == "Bearer key"
    assert body == PHOTO


def test_a_form_holds_the_photo(server: ThreadingHTTPServer, client: RestClient) -> None:
    client.analyze(PHOTO, query={}, deadline=10, form=True)
    _, headers, body, _ = server.bodies[0]  # type: ignore[attr-defined]
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert PHOTO in body


@pytest.mark.parametrize(
    ("status", "code", "pushback"),
    [(422, "INVALID_ARGUMENT", None), (429, "RESOURCE_EXHAUSTED", 2.0), (500, "INTERNAL", None)],
)
def test_statuses_are_named_as_grpc_does(
    client: RestClient, status: int, code: str, pushback: float | None
) -> None:
    reply, _ = client.analyze(PHOTO, query={"status": str(status)}, deadline=10)
    assert (reply.code, reply.pushback) == (code, pushback)
    assert "overload" in reply.details


def test_no_answer_has_no_status(client: RestClient) -> None:
    reply, value = client.analyze(PHOTO, query={"hang": "up"}, deadline=10)
    assert (reply.code, value) == ("", None)


@pytest.mark.parametrize(("idle", "code"), [(60.0, "OK"), (0.0, "")])
def test_only_a_connection_that_was_idle_is_made_again(client: RestClient, idle: float, code: str) -> None:
    assert client.analyze(PHOTO, query={}, deadline=10)[0].code == "OK"
    assert client._connection is not None
    assert client._connection.sock is not None
    client._connection.sock.shutdown(2)  # what the client sees of a server's end
    client._used -= idle
    assert client.analyze(PHOTO, query={}, deadline=10)[0].code == code
    assert client.analyze(PHOTO, query={}, deadline=10)[0].code == "OK"


def test_who_drops_in_mid_body_sends_less_than_announced(
    server: ThreadingHTTPServer, client: RestClient
) -> None:
    chance = random.Random(1)
    client.leave(PHOTO, chance=chance, whole=False)
    client.leave(PHOTO, chance=chance, whole=True)
    client.leave(b"", chance=chance, whole=False)
    client.analyze(PHOTO, query={}, deadline=10)
    sizes = [(len(body), expected) for _, _, body, expected in server.bodies]  # type: ignore[attr-defined]
    assert (len(PHOTO), len(PHOTO)) in sizes
    assert all(size <= expected for size, expected in sizes)
