"""A command's options come from the fields of its inputs, and its inputs give the command's words back."""

import dataclasses
import re
from pathlib import Path
from typing import Any, Literal

import pytest

import build.__main__
from build.errors import BuildError
from build.options import add_option, argument, from_options, option, parser_of, to_arguments
from build.stages import repository, verify
from build.stages.compile import BuildSettings, CompileStage
from build.stages.export import ExportStage
from build.stages.precision import PrecisionStage
from tests.helpers.paths import ROOT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    rounds: int = option(help="how often", default=5)
    seconds: float = option(help="how long", default=1.0)

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise BuildError("rounds must be 0 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    network: Path = argument(help="the network")
    directory: Path = option(flag="--output", help="where the results go")
    colour: Literal["red", "blue"] | None = option(help="which colour", default=None)
    numbers: tuple[int, ...] = option(
        help="numbers", parse=lambda text: tuple(map(int, text.split(","))), default=()
    )
    loud: bool = option(help="with noise", default=False)
    pairs: dict[str, str] | None = option(
        help="pairs", parse=lambda text: text.split("="), combine=dict, flag="--pair", default=None
    )
    settings: Settings = Settings()
    cache: Path | None = None


def parsed(*words: str) -> Inputs:
    parser = parser_of(Inputs, program="x", description="First line.\n\nMore.")
    return from_options(Inputs, parser.parse_args(words))


def test_fields_are_options_of_their_types_and_defaults_hold() -> None:
    assert parsed("n.onnx", "--output", "o") == Inputs(network=Path("n.onnx"), directory=Path("o"))
    given = parsed(
        *("n.onnx", "--output", "o", "--colour", "red", "--numbers", "1,2", "--loud"),
        *("--pair", "a=b", "--pair", "c=d", "--rounds", "2", "--seconds", "0.5"),
    )
    assert given == Inputs(
        network=Path("n.onnx"),
        directory=Path("o"),
        colour="red",
        numbers=(1, 2),
        loud=True,
        pairs={"a": "b", "c": "d"},
        settings=Settings(rounds=2, seconds=0.5),
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--output", "o"], "the following arguments are required: network"),
        (["n"], "the following arguments are required: --output"),
        (["n", "--output", "o", "--colour", "green"], "invalid choice: 'green'"),
        (["n", "--output", "o", "--rounds", "many"], "invalid int value: 'many'"),
        (["n", "--output", "o", "--cache", "c"], "unrecognized arguments: --cache"),
    ],
)
def test_wrong_words_are_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*words)
    assert sentence in capsys.readouterr().err


def test_values_that_can_t_be_are_refused_by_the_inputs() -> None:
    with pytest.raises(BuildError, match="rounds must be 0 or more"):
        parsed("n", "--output", "o", "--rounds", "-1")


def test_an_option_that_another_may_stand_for_is_not_required() -> None:
    parser = parser_of(Inputs, program="x", description=None, without=("directory",))
    either = parser.add_mutually_exclusive_group(required=True)
    add_option(either, Inputs, "directory")
    either.add_argument("--file")
    assert parser.parse_args(["n", "--file", "f"]).directory is None
    with pytest.raises(SystemExit):
        parser.parse_args(["n"])


@pytest.mark.parametrize(
    "inputs",
    [
        ExportStage(checkpoint=Path("/c"), directory=Path("/d e"), detector=Path("/x.tflite")),
        PrecisionStage(
            network=Path("/n"),
            directory=Path("/d"),
            target="openvino",
            precision="int8",
            calibration=Path("/my photos"),
        ),
        CompileStage(network=Path("/n"), directory=Path("/d"), settings=BuildSettings(rounds=2, threads=1)),
    ],
)
def test_a_stage_s_words_are_parsed_to_the_same_stage(inputs: Any) -> None:
    stage = type(inputs)
    parser = parser_of(stage, program=stage.module, description="")
    assert from_options(stage, parser.parse_args(to_arguments(inputs))) == inputs


COMMANDS = {
    "build": build.__main__.Inputs,
    "build.stages.export": ExportStage,
    "build.stages.precision": PrecisionStage,
    "build.stages.compile": CompileStage,
    "build.stages.repository": repository.Inputs,
    "build.stages.verify": verify.Inputs,
}


@pytest.mark.parametrize("document", ["Makefile", "README.md"])
def test_the_options_that_make_and_readme_name_are_options_of_the_commands(document: str) -> None:
    text = (ROOT / document).read_text().replace("\\\n", " ")
    named = [
        (command, word)
        for command, words in re.findall(r"-m (build(?:\.stages\.\w+)?)\s([^`\n]*)", text)
        for word in re.findall(r"(?<!\S)\(?(--[a-z-]+)", words.partition("#")[0])
    ]
    assert named
    for command, word in named:
        parser = parser_of(COMMANDS[command], program=command, description="")
        known = parser._option_string_actions.keys() | ({"--output"} if command.endswith("export") else set())
        assert word in known, f"{document}: {command} has no {word}"
