"""Each request of a load has one typed end, whatever the server or the network does."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import grpc
import numpy as np
import pytest

from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.answers import Expected, faces_in
from deploy.loadtest.protocols.base import BROKEN, NO_DESCRIPTORS, OK, WRONG, Reply, Target
from deploy.loadtest.work.question import Question
from tests.helpers import fake_v2_server
from tests.helpers.misbehaving_servers import ENDINGS, misbehaving, silent, unused_address
from tests.helpers.paths import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}
ALL = sorted(doors)
HTTP = [name for name in ALL if name != "grpc"]
PHOTO = Question(
    kind="photo",
    model="photo_analysis",
    inputs={"image": np.frombuffer(b"picture", np.uint8)},
    photo=b"picture",
    faces=2,
)


def reply(protocol: str, address: str, *, deadline: float = 20.0, question: Question = PHOTO) -> Reply:
    """How one request ends."""

    async def asked() -> Reply:
        connection = doors[protocol].connect(Target(protocol=protocol, address=address))
        try:
            return await connection.ask(doors[protocol].message(question), deadline=deadline)
        finally:
            await connection.close()

    return asyncio.run(asked())


@pytest.mark.parametrize("protocol", ALL)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_connection_that_breaks_is_broken(protocol: str, ending: str) -> None:
    with misbehaving(ending) as address:
        end = reply(protocol, address)
        assert end.code == BROKEN, end
        assert end.details
        with pytest.raises(ConnectionError, match=address):
            doors[protocol].describe(Target(protocol=protocol, address=address), timeout=20)


@pytest.mark.parametrize("protocol", ALL)
def test_where_nobody_listens_the_server_is_unavailable(protocol: str) -> None:
    address = unused_address()
    assert reply(protocol, address).code == "UNAVAILABLE"
    with pytest.raises(ConnectionError, match="has no server: start it"):
        doors[protocol].describe(Target(protocol=protocol, address=address), timeout=20)


@pytest.mark.parametrize("protocol", ALL)
def test_a_silent_server_is_waited_for_until_the_deadline(protocol: str) -> None:
    with silent() as address:
        assert reply(protocol, address, deadline=0.2).code == "DEADLINE_EXCEEDED"
        with pytest.raises(ConnectionError, match=r"did not answer within 0.2 s"):
            doors[protocol].describe(Target(protocol=protocol, address=address), timeout=0.2)


def test_a_generator_without_descriptors_knows_that_it_is_the_limit() -> None:
    program = """
        import asyncio, json, os, resource, sys
        import numpy as np
        from deploy.loadtest.protocols import doors
        from deploy.loadtest.protocols.base import Target
        from deploy.loadtest.work.question import Question

        PHOTO = Question(kind="photo", model="m", inputs={"image": np.zeros(9, np.uint8)}, photo=b"picture")
        _, MOST = resource.getrlimit(resource.RLIMIT_NOFILE)

        async def codes(protocol, address):
            door, target = doors[protocol], Target(protocol=protocol, address=address)
            connections = [door.connect(target) for _ in range(24)]
            opened = len(os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 8, MOST))
            message = door.message(PHOTO)
            replies = await asyncio.gather(*(each.ask(message, deadline=0.3) for each in connections))
            resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))
            for each in connections:
                await each.close()
            return sorted({reply.code for reply in replies})

        print(json.dumps([asyncio.run(codes(name, sys.argv[1])) for name in sorted(doors)]))
    """
    with silent() as address:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), address],
            cwd=ROOT,
            env={**ENVIRONMENT, "GRPC_VERBOSITY": "NONE"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["DEADLINE_EXCEEDED", NO_DESCRIPTORS]] * len(ALL)


class Handler(BaseHTTPRequestHandler):
    """Answers what the server is set to; notes what came."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.came = self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))  # type: ignore[attr-defined]
        status, headers, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def listening() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answered(server: Any, protocol: str, status: int, body: bytes, **headers: str) -> Reply:
    """How a request ends that gets this answer over HTTP."""
    server.answer = status, {name.replace("_", "-"): value for name, value in headers.items()}, body
    return reply(protocol, f"127.0.0.1:{server.server_port}")


@pytest.mark.parametrize("protocol", HTTP)
def test_statuses_of_http_have_grpcs_names(listening: Any, protocol: str) -> None:
    refused = answered(listening, protocol, 429, b'{"detail": "too much"}', Retry_After="2")
    assert refused == Reply(code="RESOURCE_EXHAUSTED", details="too much", pushback=2.0)
    assert answered(listening, protocol, 503, b"").code == "UNAVAILABLE"
    assert answered(listening, protocol, 422, b'{"detail": "no picture"}').code == "INVALID_ARGUMENT"
    assert answered(listening, protocol, 400, b'{"error": "no such input"}').details == "no such input"
    assert answered(listening, protocol, 302, b"", Location="/elsewhere").code == "HTTP 302"


@pytest.mark.parametrize(
    ("body", "code", "faces"),
    [
        (b'{"width": 1, "faces_found": 2, "faces": []}\n', OK, 2),
        (b'{"width": 1, "faces_found": 3, "faces": []}', WRONG, 0),
        (b'{"width": 1, "faces": []}', WRONG, 0),
        (b'{"width": 1, "faces_found": 2, "faces": [', WRONG, 0),
        (b"hello", WRONG, 0),
    ],
)
def test_an_answer_over_rest_has_the_photos_faces(listening: Any, body: bytes, code: str, faces: int) -> None:
    end = answered(listening, "rest", 200, body)
    assert (end.code, end.faces) == (code, faces)
    path, headers, sent = listening.came
    assert (path, sent) == ("/v1/analyze", b"picture")
    assert headers["X-Request-Timeout"] == "20.000"


def tensor(*shape: int, size: int) -> dict[str, Any]:
    return {"name": "boxes", "shape": shape, "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize(
    ("head", "tail", "code"),
    [
        ({"outputs": [tensor(2, 4, size=3)]}, b"abc", OK),
        ({"outputs": [tensor(1, 4, size=3)]}, b"abc", WRONG),
        ({"outputs": [tensor(2, 4, size=4)]}, b"abc", BROKEN),
        ({"outputs": []}, b"", WRONG),
        ({}, b"", BROKEN),
        ([], b"", BROKEN),
    ],
)
def test_an_answer_over_http_is_as_long_as_its_header_says(
    listening: Any, head: Any, tail: bytes, code: str
) -> None:
    data = json.dumps(head).encode()
    end = answered(listening, "http", 200, data + tail, Inference_Header_Content_Length=str(len(data)))
    assert end.code == code


def test_a_refusal_over_grpc_has_its_pushback() -> None:
    fake = fake_v2_server.FakeServer(fake_v2_server.contract_of())

    def refuse(number: int, context: Any) -> None:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "1500" if number == 1 else "-1"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")

    fake.before_infer = refuse
    with fake_v2_server.running(fake) as address:
        refused = Reply(code="RESOURCE_EXHAUSTED", details="too much", pushback=1.5)
        assert reply("grpc", address) == refused
        assert reply("grpc", address).pushback is None  # "do not try again"


def test_a_server_that_dies_with_requests_breaks_them() -> None:
    program = """
        import grpc, time
        from concurrent import futures
        from tests.helpers import fake_v2_server
        fake = fake_v2_server.FakeServer(fake_v2_server.contract_of())
        fake.before_infer = lambda number, context: (print("asked", flush=True), time.sleep(60))
        with fake_v2_server.running(fake) as address:
            print(address, flush=True)
            time.sleep(60)
    """

    async def asked(server: subprocess.Popen[str]) -> Reply:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        connection = doors["grpc"].connect(Target(protocol="grpc", address=address))
        asking = asyncio.create_task(connection.ask(doors["grpc"].message(PHOTO), deadline=30))
        await asyncio.to_thread(server.stdout.readline)
        server.kill()
        end = await asking
        await connection.close()
        return end

    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert asyncio.run(asked(server)).code == BROKEN


def test_faces_are_rows_of_the_boxes_or_of_the_first_tensor() -> None:
    assert faces_in({"age_value": (0, 1), "boxes": (3, 4)}) == 3
    assert faces_in({"age_value": (5, 1)}) == 5
    assert faces_in({}) == 0


def test_an_answer_that_lacks_an_output_is_wrong() -> None:
    expected = Expected(outputs=frozenset({"boxes", "scores"}), faces=None)
    assert expected.reply({"boxes": (1, 4), "scores": (1,)}) == Reply()
    lacking = expected.reply({"boxes": (1, 4)})
    assert (lacking.code, "scores" in lacking.details) == (WRONG, True)


def test_rest_takes_photos_alone() -> None:
    crop = Question(kind="crop", model="m", inputs={})
    with pytest.raises(ValueError, match="crop is no photo"):
        doors["rest"].message(crop)


@pytest.mark.parametrize("protocol", ALL)
@pytest.mark.parametrize("value", ["two\nlines", "ünlike"])
def test_a_key_that_can_not_be_sent_is_refused_without_showing_it(protocol: str, value: str) -> None:
    target = Target(protocol=protocol, address=unused_address(), metadata=(("authorization", value),))
    with pytest.raises(ConnectionError, match="'authorization' has a character") as error:
        doors[protocol].describe(target, timeout=5)
    assert value not in str(error.value)
