"""Command lines from typed inputs: the fields of a frozen dataclass are the options of its command.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Inputs:
        network: Path = argument(help="the ONNX file")           # a positional argument
        threads: int = option(help="cores to use", default=0)    # --threads N
        settings: Settings = dataclasses.field(...)              # a dataclass: its own options

A field that neither `option` nor `argument` declares, and that is no dataclass, is no option. Types come from
the annotations: str, int, float, Path, a Literal (its values are the choices), bool (a flag without a value),
each also with None. A positional tuple takes any number of arguments. For other types a field names a
function that parses the text.
"""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from build.files import shown

Inputs = TypeVar("Inputs")

_OPTION = "option"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Option:
    help: str
    flag: str | None = None  # None: from the field's name
    positional: bool = False
    choices: Callable[[], Collection[str]] | None = None
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    # The option may be given several times; this makes one value of what `parse` returned each time.
    combine: Callable[[Sequence[Any]], Any] | None = None
    # The value where the command line has none, if that is not the field's default.
    environment: Callable[[], str | None] | None = None


def option(
    *,
    help: str,  # the name that argparse gives it
    default: Any = dataclasses.MISSING,
    flag: str | None = None,
    choices: Callable[[], Collection[str]] | None = None,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    combine: Callable[[Sequence[Any]], Any] | None = None,
    environment: Callable[[], str | None] | None = None,
) -> Any:
    """A field that is an option; required where it has no default.

    `flag` is its spelling ("--output") where that is not the field's name, `choices` the values it can have
    (computed when a parser is made), `combine` turns the values of an option that is given several times
    into the field's, and `environment` reads a default from outside.
    """
    declared = _Option(
        help=help,
        flag=flag,
        choices=choices,
        parse=parse,
        metavar=metavar,
        combine=combine,
        environment=environment,
    )
    return dataclasses.field(default=default, metadata={_OPTION: declared})


def argument(*, help: str, default: Any = dataclasses.MISSING) -> Any:
    """A field that is a positional argument; required where it has no default."""
    return dataclasses.field(default=default, metadata={_OPTION: _Option(help=help, positional=True)})


def parser_of(
    inputs: type[Any], *, program: str, description: str | None, without: Collection[str] = ()
) -> argparse.ArgumentParser:
    """A parser of the command `python -m PROGRAM` whose options are these inputs', but for `without`."""
    first_line = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=first_line)
    add_options(parser, inputs, without=without)
    return parser


def add_options(
    parser: argparse._ActionsContainer, inputs: type[Any], *, without: Collection[str] = ()
) -> None:
    """Adds the options of these inputs, but for the fields `without`, to a parser or a group of one."""
    hints = typing.get_type_hints(inputs)
    for field in dataclasses.fields(inputs):
        declared = _declared(field)
        if field.name in without:
            continue
        if declared is None:
            if dataclasses.is_dataclass(hints[field.name]):
                add_options(parser, hints[field.name], without=without)
            continue
        _add(parser, field, declared, hints[field.name])


def add_option(parser: argparse._ActionsContainer, inputs: type[Any], name: str) -> None:
    """Adds the option of one field, which is not required then: another option may stand for it."""
    field = next(field for field in dataclasses.fields(inputs) if field.name == name)
    declared = _declared(field)
    assert declared is not None
    _add(parser, field, declared, typing.get_type_hints(inputs)[name], required=False)


def from_options(inputs: type[Inputs], options: argparse.Namespace, **fixed: Any) -> Inputs:
    """The inputs that parsed options describe; `fixed` are fields that are no options, or replace them.

    Options that were not parsed leave their fields at the defaults. Raises what the inputs raise for values
    that can't be.
    """
    hints = typing.get_type_hints(inputs)
    values = dict(fixed)
    for field in dataclasses.fields(inputs):  # type: ignore[arg-type]
        declared = _declared(field)
        if field.name in fixed:
            continue
        if declared is None:
            if dataclasses.is_dataclass(hints[field.name]):
                nested: Any = hints[field.name]
                values[field.name] = from_options(nested, options)
            continue
        if hasattr(options, field.name):
            value = getattr(options, field.name)
            if declared.combine is not None and value is not None:
                value = declared.combine(value)
            if isinstance(value, list):
                value = tuple(value)
            values[field.name] = value
    return inputs(**values)


def to_arguments(inputs: Any) -> list[str]:
    """The words of a command line that describe these inputs: arguments, then options not at their default.

    Paths below the project are written from there, so that the words mean the same wherever they are read.
    """
    arguments, options = [], []
    for field in dataclasses.fields(inputs):
        declared, value = _declared(field), getattr(inputs, field.name)
        if declared is None:
            if dataclasses.is_dataclass(value):
                options += to_arguments(value)
        elif value == field.default or value is None:
            continue
        elif declared.positional:
            arguments.append(_text(value))
        elif value is True:
            options.append(_flag(field, declared))
        else:
            options += [_flag(field, declared), _text(value)]
    return arguments + options


def _declared(field: "dataclasses.Field[Any]") -> _Option | None:
    declared: _Option | None = field.metadata.get(_OPTION)
    return declared


def _flag(field: "dataclasses.Field[Any]", declared: _Option) -> str:
    return declared.flag or f"--{field.name.replace('_', '-')}"


def _text(value: Any) -> str:
    return shown(value) if isinstance(value, Path) else str(value)


def _add(
    parser: argparse._ActionsContainer,
    field: "dataclasses.Field[Any]",
    declared: _Option,
    hint: Any,
    *,
    required: bool = True,
) -> None:
    optional = field.default is not dataclasses.MISSING
    named: dict[str, Any] = {"help": declared.help}
    if optional:
        named["default"] = field.default
    if declared.environment is not None:
        named["default"] = declared.environment()  # argparse parses a text as it does one that was typed
    parse, choices, many = _type_of(hint)
    if declared.choices is not None:
        choices = tuple(declared.choices())
    if parse is bool:
        named["action"] = "store_true"
    else:
        named["type"] = declared.parse or parse
        named["choices"] = choices
        named["metavar"] = declared.metavar
    if declared.combine is not None:
        named["action"] = "append"
    if declared.positional:
        if many:
            named["nargs"] = "*"
        elif optional:
            named["nargs"] = "?"
        parser.add_argument(field.name, **named)
        return
    parser.add_argument(_flag(field, declared), dest=field.name, required=required and not optional, **named)


def _type_of(hint: Any) -> tuple[Any, tuple[str, ...] | None, bool]:
    """The function that parses a value of this type, a Literal's choices, and whether it is a tuple."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
    if typing.get_origin(hint) is Literal:
        return str, typing.get_args(hint), False
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], None, True
    return hint, None, False
