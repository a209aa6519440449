"""The gateway's command line: its options are its settings, and what can't be is one sentence."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.errors import CannotStart
from deploy.gateway.operation import command_line
from deploy.gateway.operation.command_line import main, parse_serve, serve_parser
from deploy.gateway.options import GatewayOptions, Identity, Limits, Repair, Tracing
from deploy.ready_file import ReadyFile
from tests.helpers.paths import ROOT


def test_without_words_the_defaults_hold() -> None:
    repository = ROOT / "var" / "repository"
    assert parse_serve([]).options == GatewayOptions(repository=repository)


def test_every_setting_has_an_option() -> None:
    flags = {flag for action in serve_parser()._actions for flag in action.option_strings}
    for part in (GatewayOptions, Limits, Repair, Identity, Tracing):
        for field in dataclasses.fields(part):
            if field.name not in ("triton_arguments", "limits", "repair", "identity", "tracing"):
                assert f"--{field.name.replace('_', '-')}" in flags


def test_options_reach_their_parts_and_what_stands_after_dashes_goes_to_triton() -> None:
    words = (
        *("--repository", "r", "--grpc-port", "0", "--in-flight", "7", "--standby", "never"),
        *("--keys", "k", "--insecure", "--", "--log-verbose=1", "--standby=always"),
    )
    options = parse_serve(words).options
    assert options == GatewayOptions(
        repository=Path("r"),
        grpc_port=0,
        limits=Limits(in_flight=7),
        repair=Repair(standby="never"),
        identity=Identity(keys=Path("k"), insecure=True),
        triton_arguments=("--log-verbose=1", "--standby=always"),
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--grpc-port", "70000"], "--grpc-port is a port"),
        (["--processes", "0"], "--processes is at least 1"),
        (["--in-flight", "0"], "--in-flight is above 0"),
        (["--probe-seconds", "-1"], "--probe-seconds is above 0"),
        (["--drain-seconds", "-1"], "--drain-seconds is 0 or more seconds"),
        (["--standby", "perhaps"], "invalid choice"),
        (["--otlp-endpoint", "collector:4318"], "--otlp-endpoint is a URL"),
        (["--trace-ratio", "2"], "--trace-ratio is a share of 0 to 1"),
        (["--grpc", "1"], "unrecognized arguments"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent" / "file")
    for flag, what in (
        ("--log", "the log"),
        ("--access-log", "the access log"),
        ("--ready-file", "the ready file"),
    ):
        assert main([flag, absent]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"qface: {what} {absent} can't be written: No such file")
        assert said.count("\n") == 1


@pytest.mark.parametrize("content", ["", "127.0.0.1:8001\n", "[::1]:8001\n"])
def test_the_ready_file_of_another_run_is_removed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ready"
    path.write_text(content)
    ReadyFile(path).prepare()
    assert not path.exists()


@pytest.mark.parametrize("content", ["127.0.0.1:8001\nmore\n", "PEM\n", "\0", ":" * 100_000])
def test_a_file_that_is_no_ready_file_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "photo"
    path.write_text(content)
    with pytest.raises(CannotStart, match="is there already"):
        ReadyFile(path).prepare()
    assert path.read_text() == content


def test_a_port_that_is_taken_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        for flag in ("--grpc-port", "--http-port"):
            assert main([flag, str(other.getsockname()[1])]) == 2
            assert f"choose another with {flag}" in capsys.readouterr().err


def test_the_command_says_one_sentence_and_exits_with_2(tmp_path: Path) -> None:
    words = ("--repository", str(tmp_path / "none"), "--grpc-port", "0", "--http-port", "0")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.gateway", *words, "--control", str(tmp_path / "control")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("qface: no model repository is assembled")
    assert done.stderr.count("\n") == 1


def test_help_of_every_command_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    for command in command_line.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    assert "default: %" not in capsys.readouterr().out


def test_direct_serves_this_machine_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--direct", "--host", "0.0.0.0"]) == 2
    assert "--direct puts Triton itself before clients" in capsys.readouterr().err
    started: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    main(["--direct", "--host", "127.0.0.2"])
    main(["--direct", "--repository", "r", "--grpc-port", "9001", "--", "--log-verbose=1"])
    elsewhere, words = started
    assert elsewhere[elsewhere.index("--host") + 1] == "127.0.0.2"
    assert words[1:3] == ["-m", "deploy.embedded"]
    assert words[words.index("--grpc-port") + 1] == "9001"
    assert words[-2:] == ["--", "--log-verbose=1"]


@pytest.mark.parametrize("words", [["status"], ["swap"], ["swap", "other"], ["rollback"], ["reload"]])
def test_a_command_without_a_gateway_tells_how_to_start_one(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--control", str(tmp_path / "none")]) == 2
    assert "no gateway answers at" in capsys.readouterr().err
