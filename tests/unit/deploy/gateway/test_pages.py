"""The gateway's HTTP port: metrics and health, and nothing else."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability import pages as module
from deploy.gateway.observability.pages import Pages

SERVED = ServedModels(generation=1, server_metadata=b"", configs={"age": b""}, metadata={})


@contextlib.asynccontextmanager
async def running(
    *, ready: bool = True, reason: str = "", served: ServedModels | None = SERVED, page: bytes = b"a 1\n"
) -> AsyncIterator[int]:
    """The port of a server with such a state."""

    async def metrics() -> bytes:
        return page

    pages = Pages(metrics=metrics, health=lambda model: (ready, reason), served=lambda: served)
    port = await pages.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await pages.stop()


async def request(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.text()


def get(path: str, *, method: str = "GET", ready: bool = True, reason: str = "") -> tuple[int, str, str]:
    async def once() -> tuple[int, str, str]:
        async with running(ready=ready, reason=reason) as port:
            return await request(port, path, method)

    return asyncio.run(once())


async def talk(port: int, sent: bytes) -> bytes:
    """What comes back until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(), timeout=20)
    writer.close()
    return answer


def test_metrics_are_text_for_prometheus() -> None:
    assert get("/metrics") == (200, "text/plain; version=0.0.4; charset=utf-8", "a 1\n")


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/age/ready"])
def test_health_is_200_or_503_with_the_reasons(path: str) -> None:
    assert get(path)[0] == 200
    status, kind, text = get(path, ready=False, reason="model 'age' does not answer")
    assert status == 503
    assert kind.startswith("application/json")
    assert json.loads(text) == {"ready": False, "reasons": ["model 'age' does not answer"]}


def test_it_is_live_while_it_is_not_ready() -> None:
    assert get("/v2/health/live", ready=False, reason="starting")[0] == 200


def test_a_model_that_is_not_served_is_not_found() -> None:
    assert get("/v2/models/none/ready")[0] == 404


def test_no_model_is_unknown_while_none_is_known() -> None:
    async def once() -> int:
        async with running(ready=False, reason="starting", served=None) as port:
            return (await request(port, "/v2/models/age/ready"))[0]

    assert asyncio.run(once()) == 503


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v2/models/age/infer"),
        ("POST", "/v2/models/age/infer"),
        ("POST", "/metrics"),
        ("GET", "/../../etc/passwd"),
        ("PUT", "/v2/health/ready"),
    ],
)
def test_anything_else_is_not_found_with_a_sentence(method: str, path: str) -> None:
    status, _kind, text = get(path, method=method)
    assert status == 404
    assert "/v2/health/ready" in json.loads(text)["error"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"POST /v2/health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"z" * 1000,
        b"\r\n" * 10_000,
    ],
)
def test_malformed_requests_end_in_an_error_and_leave_the_server_well(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 0.5)

    async def attack() -> int:
        async with running() as port:
            answer = await talk(port, sent)
            assert not answer.startswith(b"HTTP/1.1 200")
            return (await request(port, "/v2/health/live"))[0]

    assert asyncio.run(attack()) == 200


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_never_ends_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 0.2)

    async def attack() -> bytes:
        async with running() as port:
            return await talk(port, sent)

    assert asyncio.run(attack()) == b""


def test_an_answer_that_is_never_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 0.2)
    page = b"x" * 50_000_000

    async def attack() -> int:
        async with running(page=page) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(1.0)
            received = 0
            with contextlib.suppress(ConnectionError):
                while block := await reader.read(1_000_000):
                    received += len(block)
            writer.close()
            return received

    assert asyncio.run(attack()) < len(page)


def test_idle_connections_beyond_the_limit_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 3)

    async def attack() -> tuple[int, int]:
        async with running() as port:
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            await asyncio.sleep(0.1)
            ended = sum(reader.at_eof() or reader.exception() is not None for reader, _ in opened)
            status = (await request(port, "/v2/health/live"))[0]
            for _, writer in opened:
                writer.close()
            return ended, status

    assert asyncio.run(attack()) == (7, 200)


def test_many_askers_share_a_page_and_a_later_one_gets_a_new_one() -> None:
    made = []

    async def ask() -> None:
        async def metrics() -> bytes:
            made.append(len(made))
            await asyncio.sleep(0.05)
            return b"page %d" % made[-1]

        pages = Pages(metrics=metrics, health=lambda model: (True, ""), served=lambda: SERVED)
        port = await pages.start("127.0.0.1", 0)
        answers = await asyncio.gather(*(request(port, "/metrics") for _ in range(20)))
        assert {text for _, _, text in answers} == {"page 0"}
        await asyncio.sleep(module.LONGEST_PAGE_SECONDS)
        assert (await request(port, "/metrics"))[2] == "page 1"
        await pages.stop()

    asyncio.run(ask())


def test_a_page_that_fails_is_an_error_without_its_text() -> None:
    async def once() -> tuple[int, str]:
        async def broken() -> bytes:
            raise RuntimeError("secret")

        pages = Pages(metrics=broken, health=lambda model: (True, ""), served=lambda: SERVED)
        port = await pages.start("127.0.0.1", 0)
        status, _kind, text = await request(port, "/metrics")
        await pages.stop()
        return status, text

    status, text = asyncio.run(once())
    assert status == 500
    assert "secret" not in text


def test_a_taken_port_is_an_error() -> None:
    async def twice() -> None:
        async with running() as port:
            pages = Pages(metrics=None, health=lambda model: (True, ""), served=lambda: None)  # type: ignore[arg-type]
            await pages.start("127.0.0.1", port)

    with pytest.raises(OSError, match="in use"):
        asyncio.run(twice())
