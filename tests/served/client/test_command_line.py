"""`qface` against the real server: what only that has."""

import json

import pytest

from deploy.gateway.operation.service import GatewayServer
from qface_client import cli
from tests.helpers.paths import ROOT

PORTRAIT = str(ROOT / "tests" / "assets" / "astronaut.jpg")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(arguments) == 0
    return capsys.readouterr().out


def test_info_has_the_servers_version(server: GatewayServer, capsys: pytest.CaptureFixture[str]) -> None:
    stated = json.loads(printed(capsys, "info", "--json", "--url", server.grpc_address))["server"]
    assert stated.keys() == {"name", "version"}
    text = printed(capsys, "info", "--url", server.grpc_address)
    assert f"server: {stated['name']} {stated['version']}" in text


def test_a_search_outside_the_servers_bounds_is_one_line(
    server: GatewayServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["analyze", PORTRAIT, PORTRAIT, "--min-face", "0.00001", "--url", server.grpc_address]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.count("min_face") == 1
