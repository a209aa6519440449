"""`qface completion`: the script by which a shell completes this command line."""

import argparse
import re
from collections.abc import Sequence

from ..errors import InvalidInput
from . import output, statuses
from .connection_options import Commands

# What help calls an argument -> whether it is completed by files or folders (shtab's names).
_PATHS = {"PHOTO": "FILE", "FILE": "FILE", "LIST": "FILE", "SOURCE": "FILE", "DIR": "DIRECTORY"}

# A shell -> where it finds its script.
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/qface",
    "zsh": "a file _qface in a folder of $fpath",
    "tcsh": "a file that ~/.tcshrc sources",
}
_HOW = "".join(f"{shell}: write it to {place}\n" for shell, place in _PLACES.items())
_HEADER = re.compile(r"^# AUTOMATICALLY GENERATED .*\n(#.*\n)*", re.MULTILINE)  # shtab's, with other places


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "completion",
        allow_abbrev=False,
        help="a script for the shell: it completes commands, options and paths",
        description="Prints the script by which a shell completes `qface`.",
        epilog=f"{_HOW}A new shell completes commands, options and paths.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(_PLACES), help="the shell that reads the script")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script; returns the exit status."""
    try:
        import shtab
    except ImportError as error:
        raise InvalidInput("`qface completion` needs shtab: pip install shtab") from error
    from .parser import make_parser  # which imports this module

    parser = make_parser()
    for command in _commands(parser):
        for action in command._actions:
            if action.metavar in _PATHS:
                action.complete = getattr(shtab, _PATHS[action.metavar])  # type: ignore[attr-defined]
    header = f"# Of `qface completion {options.shell}` for {_PLACES[options.shell]}.\n"
    script = shtab.complete(parser, shell=options.shell)
    output.write(_HEADER.sub(lambda _: header, script, count=1))
    return statuses.OK


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [command for action in found for command in action.choices.values()]
