"""A request is answered in a version of HTTP that is spoken here."""

import asyncio

import pytest
from aiohttp import web

from deploy.gateway.rest.connections import Connections


async def answer_to(version: str) -> bytes:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text="answered")

    connections = Connections(handler, most=4)
    server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"GET / {version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_version_that_is_spoken_is_answered_in_it(version: str) -> None:
    answer = asyncio.run(answer_to(version))
    assert answer.startswith(f"{version} 200 ".encode())
    assert answer.endswith(b"answered")


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/9.9"])
def test_a_version_that_is_not_spoken_is_refused_in_one_that_is(version: str) -> None:
    answer = asyncio.run(answer_to(version))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/problem+json" in answer
