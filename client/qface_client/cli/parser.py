"""Every command and its options."""

import argparse

from .._version import __version__
from . import analyze, bench, completion, connection_options, doctor, info, report, statuses

COMMANDS = (analyze, report, info, bench, doctor, completion)

_ENDING = """\
exit status:
{statuses}

environment, in the place of options that are not given:
  QFACE_URL, QFACE_API_KEY, QFACE_API_KEY_FILE, QFACE_TLS, QFACE_TLS_CA, QFACE_TLS_CERT, QFACE_TLS_KEY

`qface COMMAND --help` has a command's options, and examples.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; what it parses has the chosen command's `run`."""
    whole = argparse.ArgumentParser(
        prog="qface",
        description="Asks a Q-Face server about the faces in photos.",
        epilog=_ENDING.format(statuses=statuses.in_lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"qface-client {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", title="commands")
    parents = [connection_options.make_parser()]
    for command in COMMANDS:
        command.add(commands, parents)
    return whole
