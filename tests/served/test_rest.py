"""The REST door of the real server: the JSON of our command line, and what its specification says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.gateway.operation.service import GatewayServer
from qface_client import cli
from tests.helpers.paths import ASTRONAUT, ROOT
from tests.helpers.rest_load import post


@pytest.mark.parametrize(
    ("query", "words"),
    [("", []), ("?tasks=age,head_pose&min_score=0.3&max_faces=2", ["--tasks", "age,head_pose"])],
)
def test_the_json_is_that_of_the_command_line(
    server: GatewayServer, capsys: pytest.CaptureFixture[str], query: str, words: list[str]
) -> None:
    search = ["--min-score", "0.3", "--max-faces", "2"] if query else []
    address = ["--url", server.grpc_address]
    assert cli.main(["analyze", str(ASTRONAUT), "--json", *address, *words, *search]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("file") == str(ASTRONAUT)
    assert post(server.rest_address, f"/v1/analyze{query}") == (200, printed)


def test_schemathesis_finds_nothing(server: GatewayServer, tmp_path: Path) -> None:
    """Requests of each sort that its specification allows, and forbids; docs/gateway.md has the long run."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(ROOT / "tests" / "helpers" / "schemathesis.toml")),
            *("run", f"http://{server.rest_address}/openapi.json", "--checks", "all", "--no-color"),
            *("--seed", "1", "--phases", "coverage", "--generation-database", "none", "--no-shrink"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.helpers.schemathesis_hooks",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
