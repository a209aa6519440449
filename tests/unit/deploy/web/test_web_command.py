"""python -m deploy.web: the gateway with the page, or the page alone; sentences where neither can be."""

import asyncio
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from deploy.web import __main__ as command
from deploy.web.browser_only import serving
from tests.helpers.small_bundles import write_bundle


@pytest.fixture(autouse=True)
def bundles_made(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The command lines that would have made a bundle."""
    made: list[Sequence[str]] = []

    def run(words: Sequence[str], *, check: bool) -> None:
        assert not check, "a bundle that can't be made is no reason not to serve the page"
        made.append(words[1:])

    monkeypatch.setattr(subprocess, "run", run)
    return made


def test_it_is_the_gateway_with_the_page_and_its_options(
    monkeypatch: pytest.MonkeyPatch, bundles_made: list[Sequence[str]]
) -> None:
    started: list[Sequence[str]] = []
    monkeypatch.setattr(command, "gateway_main", lambda words: started.append(words) or 0)
    assert command.main([]) == 0
    assert command.main(["--port", "0", "--keys", "keys.toml", "--", "--log-verbose", "1"]) == 0
    first = ["--web", "--host", "127.0.0.1", "--rest-port"]
    assert started == [
        [*first, "8000", "--standby", "never", "--", "--log-info", "false"],
        [*first, "0", "--standby", "never", "--keys", "keys.toml", "--", "--log-verbose", "1"],
    ]
    assert bundles_made == [["-m", "deploy.web.bundle", "--quiet"]] * 2


def test_a_port_that_is_taken_and_options_that_can_t_be_are_sentences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert command.main(["--browser-only", "--port", str(port)]) == 2
    taken = capsys.readouterr().err
    assert f"127.0.0.1:{port} (Address already in use): stop what listens there" in taken
    assert command.main(["--browser-only", "--host", "192.0.2.1"]) == 2
    assert "choose an address of this machine with --host" in capsys.readouterr().err
    for words, sentence in (
        (["--browser-only", "--keys", "x"], "it takes no --keys"),
        (["--browser-only", "--", "x"], "it takes no --"),
        (["--port", "65536"], "from 0 to 65535"),
        (["--no-rest"], "--no-rest has none"),
        (["--direct"], "--direct leaves it out"),
    ):
        with pytest.raises(SystemExit) as ended:
            command.main(words)
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err


def test_alone_it_serves_page_and_bundle_and_says_that_no_server_is_here(tmp_path: Path) -> None:
    said: list[str] = []

    async def test() -> None:
        bundle = tmp_path / "bundle"
        async with (
            serving(host="127.0.0.1", port=0, bundle=bundle, log=said.append) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):
            async with session.get("/") as page:
                assert page.status == 200
                assert page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            for method, path in (("GET", "/v1/tasks"), ("POST", "/v1/analyze")):
                async with session.request(method, path, data=b"x" if method == "POST" else None) as got:
                    assert got.status == 404
                    assert "--browser-only" in (await got.json(content_type=None))["detail"]
            async with session.get("/web/bundle/manifest.json") as missing:
                assert missing.status == 404
            write_bundle(bundle)
            async with session.get("/web/bundle/manifest.json") as there:
                assert there.status == 200

    asyncio.run(test())
    assert "make web-bundle" in said[0]
