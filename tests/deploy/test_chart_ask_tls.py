"""What `helm test` runs trusts the release's own certificate, and no other."""

import http.server
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.certificates import Authority
from tests.helpers.charts import CHART

AUTHORITY = Authority()


class Answers(http.server.BaseHTTPRequestHandler):
    """One face for whoever has the key."""

    def do_GET(self) -> None:
        self._answer(200, {"ready": True})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers["X-API-Key"] == "open sesame"
        self._answer(200 if known else 401, {"faces": [{}]} if known else {})

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def _answer(self, status: int, content: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, Path]]:
    """Ports of its plain and its TLS door, and the file of its certificate."""
    certificate, key = AUTHORITY.issue(tmp_path_factory.mktemp("certificates"), "tls", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    plain, encrypted = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) for _ in range(2))
    encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in (plain, encrypted)]
    for thread in threads:
        thread.start()
    yield plain.server_port, encrypted.server_port, certificate
    for server, thread in zip((plain, encrypted), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def ask(
    service: tuple[int, int, Path], trusted: Path, *words: str, host: str = "localhost"
) -> subprocess.CompletedProcess[str]:
    health, analyze, _ = service
    wanted = (
        f"--health=http://localhost:{health}/v2/health/ready",
        f"--analyze=https://{host}:{analyze}/v1/analyze",
        f"--photo={CHART / 'files' / 'photo.jpg'}",
        f"--trust={trusted}",
    )
    return subprocess.run(
        [sys.executable, "-I", str(CHART / "files" / "ask.py"), *wanted, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(params=["ca.crt", "tls.crt"])
def trusted(request: pytest.FixtureRequest, tmp_path: Path, service: tuple[int, int, Path]) -> Path:
    """A Secret's folder: with the authority, or with nothing but the served certificate."""
    if request.param == "ca.crt":
        AUTHORITY.write(tmp_path / "ca.crt")
    else:
        shutil.copy(service[2], tmp_path / "tls.crt")
    return tmp_path


def test_the_key_gets_its_answer_and_nobody_else_one(
    service: tuple[int, int, Path], trusted: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("open sesame\n")
    done = ask(service, trusted, f"--key={key}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the photo is answered: 1 face(s)" in done.stdout
    done = ask(service, trusted, "--refused")
    assert (done.returncode, done.stderr) == (0, "")
    assert "a photo without a key is refused" in done.stdout
    key.write_text("abracadabra")
    done = ask(service, trusted, f"--key={key}")
    assert done.returncode == 1
    assert "the photo is answered with 401" in done.stderr


def test_a_certificate_of_another_name_or_another_authority_is_not_trusted(
    service: tuple[int, int, Path], trusted: Path, tmp_path: Path
) -> None:
    done = ask(service, trusted, host="127.0.0.1")
    assert done.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    Authority().write(other / "ca.crt")
    done = ask(service, other)
    assert done.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
