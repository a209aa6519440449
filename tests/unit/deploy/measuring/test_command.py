"""Programs that measure share their options, their statuses and the form of their errors."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.measuring.command import command, parser_of

DOC = "What it does.\n\nMore of it."


class NotReady(Exception):
    pass


def program(error: BaseException | None) -> int:
    @command("bench", NotReady)
    def main(arguments: Sequence[str] | None = None) -> int:
        if error is not None:
            raise error
        return 1

    return main([])


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (None, 1, ""),
        (NotReady("no server"), 2, "bench: no server\n"),
        (ValueError("no picture"), 2, "bench: no picture\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "bench: [Errno 2] No such file: 'x'\n"),
        (KeyboardInterrupt(), 130, "bench: interrupted\n"),
    ],
)
def test_what_keeps_a_program_from_measuring_is_a_sentence_and_a_status(
    error: BaseException | None, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(error) == status
    assert capsys.readouterr().err == sentence


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    with pytest.raises(TypeError, match="ours"):
        program(TypeError("ours"))


def test_shared_options_have_one_name_and_a_programs_own_defaults() -> None:
    parser = parser_of("deploy.x", DOC, repository=True, rounds=5, seconds=1.5, seconds_of="of a side")
    options = parser.parse_args(["--rounds", "3", "--repository", "r"])
    assert (options.repository, options.rounds, options.seconds) == (Path("r"), 3, 1.5)
    help_ = parser.format_help()
    assert "python -m deploy.x" in help_
    assert "What it does." in help_
    assert "More of it" not in help_
    assert "of a side (default: 1.5)" in help_


def test_a_program_without_rounds_has_no_option_of_them() -> None:
    assert vars(parser_of("deploy.x", None).parse_args([])) == {}


@pytest.mark.parametrize(
    "words", [["--rounds", "0"], ["--rounds", "x"], ["--seconds", "0"], ["--seconds", "nan"]]
)
def test_no_rounds_and_no_time_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parser_of("deploy.x", DOC, rounds=5, seconds=2.0).parse_args(words)
    assert exit_.value.code == 2
    assert words[0] in capsys.readouterr().err
