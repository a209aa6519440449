"""onnxruntime-web out of a registry: by npm's own settings, by its hash, and never without an end."""

import base64
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import BuildError
from deploy.web.bundle import runtime
from deploy.web.bundle.npm import PUBLIC_REGISTRY, NpmSettings
from deploy.web.bundle.runtime import ON_CPU, ON_GPU, PACKAGE, VERSION, runtime_files


def package() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name in (*ON_CPU, *ON_GPU, "ort.all.min.js"):
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return made.getvalue()


PACKED = package()


class Registry(http.server.BaseHTTPRequestHandler):
    """Has the package below /mirror/, and ill answers beside it."""

    def do_GET(self) -> None:
        name = f"/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
        if not self.path.endswith(name):
            self.send_error(404)
            return
        where = self.path.removesuffix(name)
        body = {"/mirror": PACKED, "/changed": PACKED[:-1] + b"x", "/cut": PACKED, "/endless": b"x" * 4096}
        if where not in body:
            self.send_error(403)
            return
        self.send_response(200)
        if where != "/endless":
            self.send_header("Content-Length", str(len(body[where])))
        self.end_headers()
        if where == "/cut":
            self.wfile.write(body[where][:100])
            return
        for _ in range(64 if where == "/endless" else 1):
            self.wfile.write(body[where])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def small_package(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = base64.b64encode(hashlib.sha512(PACKED).digest()).decode()
    monkeypatch.setattr(runtime, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def settings(registry: str, home: Path) -> NpmSettings:
    return NpmSettings({"NPM_CONFIG_REGISTRY": registry, "HOME": str(home)})


def test_what_a_browser_loads_is_taken_out_and_nothing_else(registry: str, tmp_path: Path) -> None:
    said: list[str] = []
    files = runtime_files(settings=settings(f"{registry}/mirror/", tmp_path), log=said.append)
    assert files == {f"ort/{name}": name.encode() for name in (*ON_CPU, *ON_GPU)}
    assert said == [f"loading {PACKAGE} {VERSION} from 127.0.0.1, 33 MB"]
    packed = tmp_path / "package.tgz"
    packed.write_bytes(PACKED)
    assert runtime_files(package=packed, log=said.append) == files


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/changed", "is another file"),
        ("/cut", "the connection ended before all was there"),
        ("/endless", "it sends more than 0 MiB"),
        ("/closed", "HTTP Error 403"),
        ("", "HTTP Error 403"),
    ],
)
def test_what_is_not_the_package_is_a_sentence(
    registry: str, path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_LARGEST", 100_000)
    with pytest.raises(BuildError, match=reason) as failed:
        runtime_files(settings=settings(f"{registry}{path}", tmp_path), log=lambda sentence: None)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9", "ftp://example.org", "http://user:word@127.0.0.1:9", "http://[::1", "http://a:b/"],
)
def test_a_registry_that_is_none_is_a_sentence_without_a_login(url: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="can't be loaded from") as failed:
        runtime_files(settings=settings(url, tmp_path), log=lambda sentence: None)
    assert "word" not in str(failed.value)


def test_settings_are_npms_own(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert NpmSettings(home).registry == PUBLIC_REGISTRY
    (tmp_path / ".npmrc").write_text(
        '; a comment\nregistry = "https://${WHERE}/npm/"\ncafile=/of/file.pem\n# https-proxy=no\nnonsense\n'
    )
    of_file = NpmSettings({**home, "WHERE": "mirror.example"})
    assert of_file.registry == "https://mirror.example/npm"
    assert (of_file.get("cafile"), of_file.get("https-proxy")) == ("/of/file.pem", None)
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        assert NpmSettings({**home, name: "https://own.example"}).registry == "https://own.example"
    other = tmp_path / "other"
    other.write_text("registry=https://other.example")
    assert NpmSettings({**home, "npm_config_userconfig": str(other)}).registry == "https://other.example"
    (tmp_path / ".npmrc").write_bytes(b"\xff\0")
    assert NpmSettings(home).registry == PUBLIC_REGISTRY


def test_certificates_that_are_missing_are_a_sentence(tmp_path: Path) -> None:
    given = NpmSettings({"HOME": str(tmp_path), "NPM_CONFIG_CAFILE": str(tmp_path / "none.pem")})
    with pytest.raises(BuildError, match="can't be loaded from"):
        runtime_files(settings=given, log=lambda sentence: None)
