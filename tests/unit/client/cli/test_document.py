"""The document of the command line has every option and every exit status, in the words of the program."""

import argparse
import re

import pytest

from qface_client.cli import connection_options, parser, statuses
from tests.helpers.paths import ROOT

DOCUMENT = (ROOT / "docs" / "client" / "command-line.md").read_text()
REPORT = (ROOT / "docs" / "client" / "report.md").read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (
        action for action in parser.make_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(found.choices)


def options(of: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in of._actions if action.option_strings and action.dest != "help"]


def table(heading: str, document: str = DOCUMENT) -> dict[str, str]:
    """The two columns of the table below a heading, without their first rows."""
    section = document.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return dict(rows[1:])


def row(action: argparse.Action) -> tuple[str, str]:
    """An option as a row of the document."""
    value = "N" if action.choices else action.metavar
    names = ", ".join(f"`{name} {value}`" if value else f"`{name}`" for name in action.option_strings)
    return names, (action.help or "") % {"default": action.default}


@pytest.fixture(autouse=True)
def usual_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QFACE_URL", raising=False)


def test_every_option_stands_in_the_document() -> None:
    shared = dict(map(row, options(connection_options.make_parser())))
    assert table("Options of every command that calls a server") == shared
    own = dict(map(row, options(commands()["analyze"])))
    assert table("Options of qface analyze") == {
        name: text for name, text in own.items() if name not in shared
    }


def test_every_option_of_a_report_stands_in_its_document() -> None:
    shared = {action.dest for action in options(connection_options.make_parser())}
    own = [action for action in options(commands()["report"]) if action.dest not in shared]
    assert table("Options of qface report", REPORT) == dict(map(row, own))


def test_the_help_has_the_usual_address_whatever_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QFACE_URL", "faces.example:1")
    assert "(QFACE_URL, or localhost:8001)" in " ".join(commands()["analyze"].format_help().split())


def test_options_that_info_has_beside_the_shared_ones_are_named() -> None:
    shared = {action.dest for action in options(connection_options.make_parser())}
    further = [
        action.option_strings[0] for action in options(commands()["info"]) if action.dest not in shared
    ]
    (sentence,) = re.findall(r"`qface info` has (.*?) too\.", DOCUMENT)
    assert re.findall(r"`(--\w+)`", sentence) == further


def test_every_command_and_exit_status_stands_in_the_document() -> None:
    assert {f"qface {name}" for name in commands()} <= set(re.findall(r"`(qface \w+)`", DOCUMENT))
    rows = {int(status): text for status, text in table("When it ends").items()}
    assert rows == statuses.MEANINGS


def test_every_exit_status_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    printed = " ".join(parser.make_parser().format_help().split())
    for status, meaning in statuses.MEANINGS.items():
        assert f"{status} {meaning}" in printed


@pytest.mark.parametrize("command", sorted(commands()))
def test_no_command_takes_a_part_of_an_option(command: str) -> None:
    assert not commands()[command].allow_abbrev
    assert not parser.make_parser().allow_abbrev


def test_the_help_of_analyze_begins_with_photos_and_ends_with_examples() -> None:
    text = commands()["analyze"].format_help()
    assert text.startswith("usage: qface analyze PHOTO... [OPTION...]")
    places = [text.index(f"{group}:") for group in ("photos", "what is asked", "server", "examples")]
    assert places == sorted(places)
