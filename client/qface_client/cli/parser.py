"""Every command and its options."""

import argparse

from .._version import __version__
from . import analyze, connection_options, info

COMMANDS = (analyze, info)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; what it parses has the chosen command's `run`."""
    whole = argparse.ArgumentParser(
        prog="qface", description="Asks a Q-Face server about the faces in photos.", allow_abbrev=False
    )
    whole.add_argument("--version", action="version", version=f"qface-client {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    parents = [connection_options.make_parser()]
    for command in COMMANDS:
        command.add(commands, parents)
    return whole
