"""What `helm test` runs in its pod, here against the real service."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.gateway.operation.service import GatewayServer
from tests.helpers.charts import CHART, only, render

ASK = CHART / "files" / "ask.py"


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(ASK), *words], capture_output=True, text=True, check=False, timeout=120
    )


def test_a_service_that_answers_passes(server: GatewayServer) -> None:
    done = ask(
        f"--health=http://{server.http_address}/v2/health/ready",
        f"--analyze=http://{server.rest_address}/v1/analyze",
        f"--photo={CHART / 'files' / 'photo.jpg'}",
    )
    assert done.returncode == 0, done.stderr
    assert "every model has answered" in done.stdout
    assert "the photo is answered: 1 face(s)" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--photo={photo}", "--refused"), "answered with 200, not refused with 401"),
        (("--photo={text}",), "the photo is answered with 422"),
        (("--photo={missing}",), "No such file"),
    ],
)
def test_a_service_that_answers_otherwise_fails_with_a_sentence(
    server: GatewayServer, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "text").write_text("no picture")
    places = {
        "photo": CHART / "files" / "photo.jpg",
        "text": tmp_path / "text",
        "missing": tmp_path / "missing",
    }
    done = ask(
        f"--health=http://{server.http_address}/v2/health/ready",
        f"--analyze=http://{server.rest_address}/v1/analyze",
        *(word.format(**places) for word in words),
    )
    assert done.returncode == 1
    assert sentence in done.stderr


def test_a_service_that_is_not_there_fails() -> None:
    done = ask("--health=http://127.0.0.1:9/v2/health/ready", "--wait=0")
    assert done.returncode == 1
    assert done.stderr.startswith("failed: ")


def test_the_pod_carries_this_script_and_gives_it_words_that_it_knows() -> None:
    for values, words in (
        ("default", {"--health", "--analyze", "--photo", "--trust", "--refused"}),
        ("tls-keys", {"--health", "--analyze", "--photo", "--trust", "--key"}),
        ("kserve", {"--health", "--analyze", "--photo"}),
        ("mtls", {"--health"}),
    ):
        (pod,) = (each for each in render(values) if each["kind"] == "Pod")
        (container,) = pod["spec"]["containers"]
        assert {word.partition("=")[0] for word in container["args"]} == words
        carried = only("ConfigMap", render(values), name=f"{pod['metadata']['name']}")
        assert carried["data"]["ask.py"].strip() == ASK.read_text().strip()
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
