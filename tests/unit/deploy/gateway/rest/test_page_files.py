"""The page at the REST door: which files are served, with which headers, and that nothing else is."""

import asyncio
import gzip
import tracemalloc
from pathlib import Path

import pytest

from deploy.gateway.options import GatewayOptions
from deploy.gateway.rest import front
from deploy.web import policy
from deploy.web.site import PAGE
from tests.helpers.rest_fronts import RunningRest, with_rest
from tests.helpers.small_bundles import FILES, WASM, write_bundle

# Each of them would be a file of this machine, or of the repository, if paths were looked up on the disk.
TRICKS = (
    "/web/../../../../etc/passwd",
    "/web/%2e%2e/%2e%2e/etc/passwd",
    "/web/..%2f..%2fetc%2fpasswd",
    "/web/bundle/../../index.html",
    "/web/bundle/%2e%2e/manifest.json",
    "//etc/passwd",
    "/web//index.html",
    "/web/\\..\\..\\etc\\passwd",
    "/web/index.html%00.js",
    "/web/%00",
    "/web/.",
    "/web/",
    "/web",
    "/web/bundle/ort/runtime.wasm.gz",
    "/web/bundle/ort/",
    "/web/bundle//manifest.json",
    "/web/index.html",
    "/web/policy.py",
    "/WEB/main.js",
    "/web/" + "a/" * 2000,
    "/web/%c0%ae%c0%ae/x",
    "/web/main.js;x",
)


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one in the place of what `make web-bundle` makes."""
    folder = write_bundle(tmp_path / "bundle")
    monkeypatch.setattr(front, "BUNDLE", folder)
    return folder


def test_without_the_option_nothing_of_it_is_served() -> None:
    async def test(running: RunningRest) -> None:
        for path in ("/", "/web/main.js", "/web/bundle/manifest.json"):
            assert (await running.send("GET", path)).status == 404
        docs = (await running.send("GET", "/docs")).body
        assert b'href="./"' not in docs
        assert b"<form" in docs

    with_rest(test)


def test_it_needs_a_rest_port() -> None:
    with pytest.raises(ValueError, match="--no-rest has none"):
        GatewayOptions(repository=Path(), web=True, no_rest=True)


def test_the_page_and_the_bundle_have_their_types_and_the_policy() -> None:
    async def test(running: RunningRest) -> None:
        types = {
            "/": "text/html; charset=utf-8",
            **{
                f"/web/{path.relative_to(PAGE)}": policy.MEDIA_TYPES[path.suffix]
                for path in PAGE.rglob("*")
                if path.suffix in policy.MEDIA_TYPES and path.name != "index.html"
            },
            "/web/bundle/manifest.json": "application/json",
            "/web/bundle/ort/runtime.wasm": "application/wasm",
            "/web/bundle/network.onnx": "application/octet-stream",
        }
        for path, media_type in types.items():
            got = await running.send("GET", path)
            assert (got.status, got.headers["Content-Type"]) == (200, media_type), path
            assert {name: got.headers[name] for name in policy.HEADERS} == policy.HEADERS
        assert (await running.send("GET", "/")).body == (PAGE / "index.html").read_bytes()
        assert b'href="./"' in (await running.send("GET", "/docs")).body

    with_rest(test, web=True)


def test_the_policy_lets_the_page_load_from_its_own_origin_alone() -> None:
    rules = dict(each.split(" ", 1) for each in policy.CONTENT_SECURITY_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    sources = {source for what, where in rules.items() for source in where.split()}
    assert sources == {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:", "data:"}
    assert rules["connect-src"] == rules["worker-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"


def test_what_the_client_has_is_not_sent_again() -> None:
    async def test(running: RunningRest) -> None:
        path = "/web/bundle/network.onnx"
        got = await running.send("GET", path)
        tag = got.headers["ETag"]
        for given in (tag, f"W/{tag}", "*", f'"other", {tag}'):
            known = await running.send("GET", path, headers={"If-None-Match": given})
            assert (known.status, known.body, known.headers["ETag"]) == (304, b"", tag)
            assert known.headers["Content-Security-Policy"] == policy.CONTENT_SECURITY_POLICY
        for given in ('"other"', "", '"', "\\", ",,,", tag[:-1], "a" * 4000, '"\udcff"'):
            sent = await running.send("GET", path, headers={"If-None-Match": given})
            assert (sent.status, sent.body) == (200, FILES["network.onnx"]), given

    with_rest(test, web=True)


def test_head_is_get_without_the_file_and_a_range_is_the_whole() -> None:
    async def test(running: RunningRest) -> None:
        path = "/web/bundle/ort/runtime.wasm"
        plain = {"Accept-Encoding": "identity"}
        head = await running.send("HEAD", path, headers=plain)
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(WASM)))
        for given in ("bytes=0-3", "bytes=-1", "bytes=9-1", "x", "bytes=0-1,4-5"):
            whole = await running.send("GET", path, headers={**plain, "Range": given})
            assert (whole.status, whole.body) == (200, WASM)
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
            refused = await running.send(method, path, data=b"x")
            assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")

    with_rest(test, web=True)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5, *", True),
        ("gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("gzip ; q=0.000", False),
        ("identity", False),
        ("", False),
        ("*", False),
        ("gzipped, ;;q=,,", False),
    ],
)
def test_a_compressed_file_goes_to_who_takes_it(accepted: str, packed: bool) -> None:
    async def test(running: RunningRest) -> None:
        running.session._auto_decompress = False
        path = "/web/bundle/ort/runtime.wasm"
        got = await running.send("GET", path, headers={"Accept-Encoding": accepted})
        assert ("Content-Encoding" in got.headers) is packed
        assert (gzip.decompress(got.body) if packed else got.body) == WASM
        assert got.headers["Vary"] == "Accept-Encoding"
        assert got.headers["ETag"].endswith('-gzip"') is packed, "two contents never have one tag"

    with_rest(test, web=True)


def test_no_path_leads_out_of_the_page() -> None:
    async def test(running: RunningRest) -> None:
        for path in TRICKS:
            answer = await running.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n", pause=0)
            assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), path[:80]
            assert b"root:" not in answer
            assert b"<html" not in answer
        nul = await running.raw(b"GET /web/\0 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 400 " in nul.partition(b"\r\n")[0]
        assert (await running.send("GET", "/")).status == 200

    with_rest(test, web=True)


def test_without_a_bundle_the_page_is_served_and_the_reason_stands_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "BUNDLE", tmp_path / "none")
    said: list[str] = []

    async def test(running: RunningRest) -> None:
        assert (await running.send("GET", "/")).status == 200
        missing = await running.send("GET", "/web/bundle/manifest.json")
        assert missing.status == 404
        assert "make web-bundle" in missing.json["detail"]
        assert str(tmp_path) not in missing.body.decode(), "an error shows no path of the server's"
        (sentence,) = said
        assert "make web-bundle" in sentence

    with_rest(test, web=True, log=said.append)


def test_who_reads_slowly_holds_a_piece_and_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 16 << 20
    large = write_bundle(tmp_path / "large", {"network.onnx": bytes(size)}, packed=False)
    monkeypatch.setattr(front, "BUNDLE", large)

    async def test(running: RunningRest) -> None:
        tracemalloc.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1 << 16)
            writer.write(b"GET /web/bundle/network.onnx HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Content-Length: %d\r\n" % size in head
            for _ in range(50):  # the server sends what is taken
                await asyncio.sleep(0)
            assert tracemalloc.get_traced_memory()[1] < size / 4
        finally:
            tracemalloc.stop()
        writer.close()
        whole = await running.send("GET", "/web/bundle/network.onnx")
        assert whole.body == bytes(size)

    with_rest(test, web=True)
