"""What runs first in a container, its health, the table of releases, and the check of TensorRT's version."""

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.backends.tensorrt import OLDEST
from build.options import from_options, parser_of
from deploy.container import __main__ as entry
from deploy.container import releases
from deploy.container.check_tensorrt import mismatch
from deploy.gateway.operation.command_line import parse_serve
from deploy.prepare.__main__ import Inputs
from tests.helpers.paths import ROOT

HEALTH = ROOT / "deploy" / "container" / "healthcheck.py"
# The first step is replaced by a program, and the gateway by a line that shows that it was started.
ENTRY = """
import sys
from deploy.container import __main__ as entry
entry.prepare_command = lambda environment: [sys.executable, "-c", {prepare!r}]
entry.gateway_command = lambda arguments, environment: ["/bin/echo", "serving", *arguments]
sys.exit(entry.main(["--keys=keys.toml"]))
"""


def run_entry(prepare: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY.format(prepare=prepare)],
        cwd=ROOT,
        env=os.environ | {"QFACE_TARGET": "any"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_gateway_takes_the_place_of_what_prepared() -> None:
    with run_entry("pass") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "serving --keys=keys.toml\n"
        assert process.wait(20) == 0


def test_what_can_not_be_prepared_is_not_served() -> None:
    with run_entry("import sys; print('no GPU', flush=True); sys.exit(2)") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "no GPU\n"
        assert process.wait(20) == 2


def test_a_stop_while_it_prepares_reaches_what_prepares() -> None:
    waits = "import signal, time; print('ready', flush=True); time.sleep(30)"
    with run_entry(waits) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
        assert process.stdout.read() == ""


def test_an_option_that_is_given_wins_over_the_containers() -> None:
    words = entry.gateway_command(
        ["--host=127.0.0.1", "--standby=never"], {"QFACE_TRITON": "/opt/tritonserver"}
    )
    options = parse_serve(words[4:]).options
    assert (options.host, options.triton) == ("127.0.0.1", Path("/opt/tritonserver"))
    assert options.repository == Path("/var/lib/q-face/repository")
    assert parse_serve(entry.gateway_command([], {})[4:]).options.triton is None


def test_words_for_the_first_step_come_from_the_environment() -> None:
    given = {"QFACE_TARGET": "tensorrt", "QFACE_PREPARE": "--precision fp32 --notice 'a file.txt'"}
    words = entry.prepare_command(given)
    assert words[3:] == [
        *("--state", "/var/lib/q-face", "--target", "tensorrt"),
        *("--precision", "fp32", "--notice", "a file.txt"),
    ]


@pytest.mark.parametrize("given", ["--engine /engines/own", "--engine=/engines/own"])
def test_a_finished_engine_takes_the_place_of_the_images_target(given: str) -> None:
    words = entry.prepare_command({"QFACE_TARGET": "tensorrt", "QFACE_PREPARE": given})
    inputs = from_options(Inputs, parser_of(Inputs, program="", description="").parse_args(words[3:]))
    assert inputs.overrides.engine == Path("/engines/own")
    assert inputs.overrides.target is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "QFACE_TARGET is not set"),
        (
            {"QFACE_TARGET": "openvino", "QFACE_PREPARE": "--tasks 'age"},
            "close each quotation mark of --tasks 'age",
        ),
    ],
)
def test_a_wrong_environment_gets_a_sentence(
    given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("QFACE_TARGET", "QFACE_PREPARE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert entry.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


class _Page(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        body = b'{"ready": false, "reasons": ["no model answers"]}'
        self.send_response(self.status if self.path == "/v2/health/ready" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def page() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def health(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", HEALTH],
        env={"QFACE_HTTP_PORT": str(port), "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_health_is_the_gateways_ready_page(
    page: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert health(page.server_port).returncode == 0
    monkeypatch.setattr(_Page, "status", 503)
    sick = health(page.server_port)
    assert sick.returncode == 1
    assert "no model answers" in sick.stderr


def test_health_is_bad_where_nobody_listens(page: http.server.HTTPServer) -> None:
    page.shutdown()
    page.server_close()
    gone = health(page.server_port)
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


@pytest.mark.parametrize(
    ("bindings", "library", "sentence"),
    [
        ("11.3.0.99", 110300, None),
        ("10.12.0.36", 101200, None),
        (
            "11.3.0.99",
            110400,
            "this image has TensorRT 11.4.0, .* 11.3.0.99: name there the one of the image",
        ),
        ("11.3.0.99", 110301, "this image has TensorRT 11.3.1"),
    ],
)
def test_another_tensorrt_than_the_images_is_noticed(
    bindings: str, library: int, sentence: str | None
) -> None:
    found = mismatch(bindings, library)
    if sentence is None:
        assert found is None
    else:
        with pytest.raises(ValueError, match=sentence):
            raise ValueError(found)


def test_the_chosen_release_is_one_that_the_build_supports_and_the_newest_that_is_documented() -> None:
    known = releases.read_releases()
    assert known.chosen.tensorrt is not None
    assert tuple(int(part) for part in known.chosen.tensorrt.split(".")[:2]) >= OLDEST
    newer = known.releases[known.releases.index(known.chosen) + 1 :]
    assert all(None in (release.triton, release.tensorrt, release.python) for release in newer)
    assert [release.name for release in known.releases] == sorted(release.name for release in known.releases)


def test_every_release_has_its_sources_and_a_driver() -> None:
    known = releases.read_releases()
    assert len(known.releases) >= 5
    for release in known.releases:
        assert release.sources
        assert all(source.startswith("https://") for source in release.sources)
        minimum = known.driver_minimum(release)
        assert release.driver is None or int(release.driver.partition(".")[0]) >= minimum


def test_the_table_in_the_document_is_the_files() -> None:
    document = (ROOT / "deploy" / "container" / "README.md").read_text()
    assert releases.table(releases.read_releases()) in document


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('chosen = "26.11"', "the chosen release 26.11 has no row"),
        ('chosen = "26.10"', "the chosen release 26.10 lacks its Triton, TensorRT or Python"),
    ],
)
def test_a_choice_that_is_not_documented_is_refused(tmp_path: Path, line: str, sentence: str) -> None:
    text = releases.FILE.read_text()
    chosen = next(found for found in text.splitlines() if found.startswith("chosen"))
    file = tmp_path / "releases.toml"
    file.write_text(text.replace(chosen, line))
    with pytest.raises(ValueError, match=sentence):
        releases.read_releases(file)
