"""The systemd unit starts a command that there is, waits for its end, and takes rights away."""

import configparser
import shlex
from pathlib import Path

import pytest

from deploy.gateway.operation.command_line import parse_serve, stop_seconds
from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    text = (ROOT / "deploy" / "systemd" / "q-face.service").read_text().replace("\\\n", " ")
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_its_command_is_one_of_the_gateway_s(unit: configparser.ConfigParser) -> None:
    python, dash_m, module, command, *words = shlex.split(unit["Service"]["ExecStart"])
    assert Path(python).name == "python"
    assert (dash_m, module, command) == ("-m", "deploy.gateway", "serve")
    options = parse_serve(words).options
    assert options.host == "127.0.0.1"
    for path in (options.control, options.ready_file):
        assert path is not None
        assert path.parent == Path("/run") / unit["Service"]["RuntimeDirectory"]
    assert options.access_log is not None
    assert options.access_log.parent == Path("/var/log") / unit["Service"]["LogsDirectory"]
    assert options.cache == Path("/var/cache") / unit["Service"]["CacheDirectory"]


def test_it_waits_for_the_drain_and_signals_the_supervisor_alone(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    options = parse_serve(shlex.split(service["ExecStart"])[4:]).options
    assert float(service["TimeoutStopSec"]) > stop_seconds(options)
    assert float(service["TimeoutStartSec"]) > options.start_timeout
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")


def test_it_is_told_when_requests_are_welcome_and_starts_again_what_may_come_up(
    unit: configparser.ConfigParser,
) -> None:
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"


def test_files_are_its_user_s_and_rights_are_few(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["UMask"] == "0077"
    assert service["User"] not in ("", "root")
    assert service["CapabilityBoundingSet"] == ""
    assert service["LimitCORE"] == "1"
    for setting in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert service[setting] == "yes"
    assert service["ProtectSystem"] == "strict"
