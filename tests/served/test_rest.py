"""The REST door of the real server: the JSON of our command line, and what its specification says."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.benchmark.load.rest import RestClient
from deploy.gateway.operation.service import GatewayServer
from qface_client import cli
from tests.helpers.paths import ASTRONAUT, ROOT

SECONDS = 120.0


@pytest.mark.parametrize(
    "query", [{}, {"tasks": "age,head_pose", "min_score": "0.3", "max_faces": "2"}], ids=["all", "some"]
)
def test_the_json_is_that_of_the_command_line(
    server: GatewayServer, capsys: pytest.CaptureFixture[str], query: dict[str, str]
) -> None:
    words = [word for name, value in query.items() for word in (f"--{name.replace('_', '-')}", value)]
    address = ["--url", server.grpc_address]
    assert cli.main(["analyze", str(ASTRONAUT), "--json", *address, *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("file") == str(ASTRONAUT)
    with contextlib.closing(RestClient(server.rest_address)) as client:
        reply, answer = client.analyze(ASTRONAUT.read_bytes(), query=query, deadline=SECONDS)
    assert (reply.code, answer) == ("OK", printed)


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
