"""Who calls over REST: the same keys, the same certificates, the same rules as over gRPC."""

import asyncio
import io
import json
import os
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from deploy.gateway import listener
from deploy.gateway.identity.keys_command import main as keys_command
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import Identity
from tests.helpers.certificates import Authority
from tests.helpers.rest_fronts import PHOTO, RunningRest, with_rest

AUTHORITY, STRANGER = Authority(), Authority()


def keys_in(folder: Path, **tasks: str) -> tuple[Path, dict[str, str]]:
    """A file of keys, and by name each key; `tasks` are those that it may ask for, "" for all."""
    path, keys = folder / "keys.toml", {}
    for name, allowed in tasks.items():
        words = ["--tasks", allowed] if allowed else ["--rate", "50"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", shown := io.StringIO())
            assert keys_command(["add", name, "--file", str(path), *words]) == 0
        keys[name] = shown.getvalue().strip()
    return path, keys


def test_a_key_is_asked_for_before_the_body_comes(tmp_path: Path) -> None:
    path, _ = keys_in(tmp_path, all="")

    async def test(running: RunningRest) -> None:
        for line, reason in (("X: y", "no_key"), ("Authorization: Bearer wrong", "unknown_key")):
            head = f"POST /v1/analyze HTTP/1.1\r\nHost: x\r\n{line}\r\nContent-Length: 100000\r\n\r\n"
            answer = await running.raw(head.encode())
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"\r\nWWW-Authenticate: Bearer" in answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == reason
        for place in ("/v1/tasks", "/openapi.json", "/docs"):
            assert (await running.send("GET", place)).status == 401
        for place in ("/v1/health/live", "/v1/health/ready"):
            assert (await running.send("GET", place)).status == 200

    with_rest(test, identity=Identity(keys=path))


def test_a_key_gets_its_tasks_and_its_name_is_logged(tmp_path: Path) -> None:
    path, keys = keys_in(tmp_path, all="", sizes="size")
    log = AccessLog(tmp_path / "access.jsonl")

    async def test(running: RunningRest) -> None:
        bearer, header = {"Authorization": f"Bearer {keys['all']}"}, {"X-API-Key": keys["sizes"]}
        assert "colour" in (await running.send(headers=bearer)).json["faces"][0]
        assert running.authority.admitted[-1].per_second == 50
        own = await running.send(headers=header)
        assert own.json["faces"][0].keys() == {"box", "score", "size"}
        other = await running.send(path="/v1/analyze?tasks=colour", headers=header)
        assert (other.status, other.json["reason"]) == (403, "permission")
        specified = (await running.send("GET", "/openapi.json", headers=header)).json
        assert "security" in specified["paths"]["/v1/analyze"]["post"]

    with_rest(test, identity=Identity(keys=path), access_log=log)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert [(line["client"], line["code"]) for line in lines] == [
        ("all", "OK"),
        ("sizes", "OK"),
        ("sizes", "PERMISSION_DENIED"),
    ]
    assert {line["peer"] for line in lines} == {"127.0.0.1"}
    assert lines[0]["faces"] == 1


def client_context(authority: Authority, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def test_over_tls_the_photo_goes_encrypted(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")

    async def test(running: RunningRest) -> None:
        assert (await running.send()).status == 200
        with pytest.raises(aiohttp.ClientSSLError):
            await running.send("GET", "/v1/tasks", ssl=client_context(STRANGER))
        assert await running.raw(b"GET /v1/tasks HTTP/1.1\r\n\r\n") == b""

    with_rest(
        test,
        identity=Identity(certificate=certificate, private_key=key),
        tls=client_context(AUTHORITY),
    )


def test_the_page_is_open_to_all_and_what_it_asks_needs_the_key(tmp_path: Path) -> None:
    path, keys = keys_in(tmp_path, all="")
    certificate, private_key = AUTHORITY.issue(tmp_path, "server")

    async def test(running: RunningRest) -> None:
        page = await running.send("GET", "/")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert (await running.send("GET", "/v1/tasks")).status == 401
        assert (await running.send()).status == 401
        assert (await running.send(headers={"Authorization": f"Bearer {keys['all']}"})).status == 200

    with_rest(
        test,
        web=True,
        identity=Identity(keys=path, certificate=certificate, private_key=private_key),
        tls=client_context(AUTHORITY),
    )


def test_handshakes_that_nobody_goes_on_with_end_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_BEGINNING", 3)
    certificate, key = AUTHORITY.issue(tmp_path, "server")

    async def test(running: RunningRest) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(5)]
        for reader, _ in opened[:2]:
            assert await asyncio.wait_for(reader.read(1), timeout=10) == b""
        assert (await running.send("GET", "/v1/health/live")).status == 200
        for _, writer in opened:
            writer.close()

    with_rest(
        test,
        identity=Identity(certificate=certificate, private_key=key),
        tls=client_context(AUTHORITY),
    )


def test_a_certificate_names_the_caller(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")
    shop = AUTHORITY.issue(tmp_path, "shop", common_name="shop")
    stranger = STRANGER.issue(tmp_path, "stranger", common_name="shop")
    identity = Identity(
        certificate=certificate, private_key=key, client_authorities=AUTHORITY.write(tmp_path / "ca.pem")
    )

    async def test(running: RunningRest) -> None:
        assert (await running.send()).status == 200
        assert running.authority.admitted[0].client == "shop"
        for other in (None, stranger):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
                await running.send("GET", "/v1/health/live", ssl=client_context(AUTHORITY, other))

    with_rest(test, identity=identity, tls=client_context(AUTHORITY, shop))


def test_certificates_and_authorities_that_were_replaced_hold_for_new_connections(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(tmp_path, "server")
    shop = AUTHORITY.issue(tmp_path, "shop", common_name="shop")
    authorities = AUTHORITY.write(tmp_path / "ca.pem")
    identity = Identity(certificate=certificate, private_key=key, client_authorities=authorities)
    said: list[str] = []

    async def test(running: RunningRest) -> None:
        async def connect(context: ssl.SSLContext) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
            writer.write(b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                return await reader.readuntil(b"\r\n")
            finally:
                writer.close()

        theirs = client_context(AUTHORITY, shop)
        assert (await connect(theirs)).startswith(b"HTTP/1.1 200")
        STRANGER.write(authorities)  # those of before count no more, whatever session a client kept
        os.utime(authorities, (time.time() + 5, time.time() + 5))
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await connect(theirs)
        AUTHORITY.write(authorities)
        STRANGER.issue(tmp_path, "server")
        for path in (authorities, certificate, key):
            os.utime(path, (time.time() + 9, time.time() + 9))
        assert (await connect(client_context(STRANGER, shop))).startswith(b"HTTP/1.1 200")
        certificate.write_text("rubbish")
        assert (await connect(client_context(STRANGER, shop))).startswith(b"HTTP/1.1 200")
        assert "stays in force" in said[-1]

    with_rest(test, identity=identity, tls=client_context(AUTHORITY, shop), log=said.append)


def test_a_body_of_a_stranger_is_not_kept(tmp_path: Path) -> None:
    path, _ = keys_in(tmp_path, all="")

    async def test(running: RunningRest) -> None:
        assert (await running.send(data=PHOTO * 5)).status == 401
        assert running.authority.admitted == []

    with_rest(test, identity=Identity(keys=path))
