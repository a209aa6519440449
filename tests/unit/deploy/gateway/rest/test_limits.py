"""What a client may send, and for how long: limits come before the bytes, and nobody is kept by others."""

import asyncio
import contextlib
import gzip
import json
import socket

import pytest

from deploy.gateway.options import Limits
from deploy.gateway.rest import connections, front
from deploy.gateway.work import Ending
from tests.helpers.rest_fronts import PHOTO, RunningRest, with_rest

SMALL = Limits(request_bytes=200_000)


def head(*lines: str, method: str = "POST", path: str = "/v1/analyze") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", *lines, "", "")).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def reason_of(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["reason"])


def test_what_is_too_large_by_its_length_is_refused_before_it_comes() -> None:
    async def test(running: RunningRest) -> None:
        answer = await running.raw(head("Content-Length: 200001"))
        assert (status_of(answer), reason_of(answer)) == (413, "request_bytes")
        expecting = await running.raw(head("Content-Length: 200001", "Expect: 100-continue"))
        assert status_of(expecting) == 413, "and not 100"

    with_rest(test, limits=SMALL)


def test_chunks_without_a_length_end_at_the_limit() -> None:
    async def test(running: RunningRest) -> None:
        chunk = b"2000\r\n" + bytes(0x2000) + b"\r\n"
        answer = await running.raw(head("Transfer-Encoding: chunked"), chunk * 40)
        assert (status_of(answer), reason_of(answer)) == (413, "request_bytes")

    with_rest(test, limits=SMALL)


def test_a_compressed_body_is_refused_unread() -> None:
    async def test(running: RunningRest) -> None:
        bomb = gzip.compress(bytes(10_000_000))
        for encoding in ("gzip", "deflate", "br", "x"):
            answer = await running.send(data=bomb, headers={"Content-Encoding": encoding})
            assert (answer.status, answer.json["reason"]) == (415, "media_type")
        assert (await running.send(headers={"Content-Encoding": "identity"})).status == 200

    with_rest(test, limits=SMALL)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("image/jpeg", 200),
        ("image/x-anything", 200),
        ("application/octet-stream", 200),
        ("application/x-www-form-urlencoded", 200),  # what curl --data-binary says
        ("application/json", 415),
        ("text/plain", 415),
        ("multipart/mixed; boundary=x", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=x", 400),
    ],
)
def test_a_body_is_called_a_picture_or_a_form(kind: str, status: int) -> None:
    async def test(running: RunningRest) -> None:
        answer = await running.send(headers={"Content-Type": kind})
        assert answer.status == status

    with_rest(test)


def test_what_is_no_picture_is_422_and_nothing_is_400() -> None:
    async def test(running: RunningRest) -> None:
        for junk in (b"x", b"\xff\xd8\xff", PHOTO[:1000]):
            assert (await running.send(data=junk)).status in (200, 422)
        assert (await running.send(data=b"x")).json["reason"] == "picture"
        assert (await running.send(data=b"")).status == 400

    with_rest(test)


def test_a_client_that_expects_continue_gets_it_when_it_is_known() -> None:
    async def test(running: RunningRest) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head(f"Content-Length: {len(PHOTO)}", "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(PHOTO)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert status_of(await running.raw(head("Content-Length: 1", "Expect: a-cake"))) == 400
        old = head("Content-Length: 1", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert status_of(await running.raw(old, b"x")) == 422, "1.0 has no 100"

    with_rest(test)


def test_a_body_that_does_not_come_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_READ_SECONDS", 0.1)

    async def test(running: RunningRest) -> None:
        answer = await running.raw(head("Content-Length: 1000"), b"some")
        assert (status_of(answer), reason_of(answer)) == (408, "slow")
        assert running.authority.turned_away == [("", "slow")]

    with_rest(test)


def test_headers_that_do_not_come_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEPALIVE_SECONDS", 0.1)

    async def test(running: RunningRest) -> None:
        assert await running.raw(b"POST /v1/analyze HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""

    with_rest(test)


def test_a_client_that_reads_no_answer_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.2)

    async def test(running: RunningRest) -> None:
        sent = 4000  # more than the system keeps for it
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        writer.write(head(method="GET", path="/openapi.json") * sent)
        while not running.front._connections._open:
            await asyncio.sleep(0.01)
        while running.front._connections._open:
            await asyncio.sleep(0.01)
        came = b""
        with contextlib.suppress(ConnectionError):
            came = await reader.read(-1)
        writer.transport.abort()
        assert came.count(b"HTTP/1.1 200 ") < sent
        assert (await running.send("GET", "/v1/health/live")).status == 200

    with_rest(test)


def test_headers_without_end_are_refused() -> None:
    async def test(running: RunningRest) -> None:
        many = [f"X-{number}: x" for number in range(200)]
        for lines in (many, [f"X-Long: {'x' * 20_000}"]):
            answer = await running.raw(head(*lines, method="GET", path="/v1/health/live"))
            assert status_of(answer) == 400
            assert b"application/problem+json" in answer
        assert status_of(await running.raw(b"GARBAGE\r\n\r\n")) == 400

    with_rest(test)


def test_as_many_calls_as_may_be_and_no_more() -> None:
    async def test(running: RunningRest) -> None:
        running.authority.admission.clear()
        first = asyncio.ensure_future(running.send())
        await asyncio.sleep(0.2)
        second = await running.send()
        assert (second.status, second.json["reason"]) == (429, "connections")
        assert "Retry-After" in second.headers
        running.authority.admission.set()
        assert (await first).status == 200

    with_rest(test, limits=Limits(connections=1))


def test_one_connection_too_many_ends_the_one_that_is_idle_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_SPARE", 1)

    async def test(running: RunningRest) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
        reader, _ = opened[0]
        assert await asyncio.wait_for(reader.read(), timeout=10) == b""
        _, writer = opened[2]
        writer.write(head(method="GET", path="/v1/health/live"))
        assert (await opened[2][0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        for _, writer in opened:
            writer.close()

    with_rest(test, limits=Limits(connections=1))


def test_a_burst_of_connections_ends_as_many_as_are_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SPARE", 9)

    async def test(running: RunningRest) -> None:
        opened = []
        for _ in range(50):  # all of them wait to be accepted at once
            opened.append(socket.create_connection(("127.0.0.1", running.port)))
            opened[-1].setblocking(False)
        loop, ended = asyncio.get_running_loop(), 0
        for each in opened[:40]:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(loop.sock_recv(each, 1), timeout=10) == b""
            ended += 1
        assert ended == 40
        assert len(running.front._connections._open) == 10
        for each in opened:
            each.close()

    with_rest(test, limits=Limits(connections=1))


def test_a_client_that_leaves_gives_up_its_place_and_cancels_nothing_at_triton() -> None:
    async def test(running: RunningRest) -> None:
        await running.send("GET", "/v1/health/live")
        message = head(f"Content-Length: {len(PHOTO)}") + PHOTO
        running.authority.admission.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(message)
        await asyncio.sleep(0.2)
        writer.close()
        while ("photo_analysis", "client_left") not in running.authority.turned_away:
            await asyncio.sleep(0.01)

        running.authority.admission.set()
        running.triton.before_infer = lambda number, context: arrived.release() or _wait()
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(message)
        while not arrived.acquire(blocking=False):
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await running.settled()
        assert [each.ending for each in running.authority.finished] == [Ending.ABANDONED]
        assert running.authority.finished[0].faces == 1, "Triton has answered"

    import threading
    import time

    arrived = threading.Semaphore(0)

    def _wait() -> None:
        time.sleep(0.3)

    with_rest(test)
