"""`qface doctor`: what is wrong between here and a server.

`make doctor` looks at a host that is to serve; this looks at the way to a server from a client's side.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..._version import __version__
from .. import output, statuses
from ..argument_types import names
from ..connection_options import Commands
from . import caller, service, way
from .caller import Caller
from .findings import Finding, examine
from .servers import NAME, Server, servers

_OF_SERVERS = (*way.CHECKS, *service.CHECKS)
_WIDTH = max(len(check.name) for check in (*caller.CHECKS, *_OF_SERVERS))
_MARKS = max(len(mark) for mark in ("ok", "note", "wrong", "skipped"))


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "doctor",
        parents=parents,
        allow_abbrev=False,
        help="find what is wrong between here and the server",
        description="Checks the way from here to a server, step by step; `make doctor` checks a host that "
        "is to serve.",
    )
    parser.add_argument(
        "--photo", type=Path, metavar="FILE", help="what is sent to measure (a plain picture, without a face)"
    )
    parser.add_argument(
        "--tasks",
        type=names,
        metavar="A,B",
        help="the picture's tasks, where a key may ask for some only (all; see `qface info`)",
    )
    parser.add_argument(
        "--expect-contract", metavar="HASH", help="the only contract that is right (`qface info` prints it)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what every check finds; the exit status is 1 where something is wrong."""
    findings = []
    if not options.json:
        output.write(f"from here to {options.url}, qface-client {__version__}")
    for finding in look(options):
        findings.append(finding)
        if not options.json:
            output.write(_line(finding))
    wrong = sum(finding.mark == "wrong" for finding in findings)
    if options.json:
        found = [finding.to_json() for finding in findings]
        about = {"client": __version__, "url": options.url, "well": not wrong, "findings": found}
        output.write(json.dumps(about))
    else:
        output.write(f"{wrong} wrong" if wrong else "all well")
    return statuses.SERVER_FAILED if wrong else statuses.OK


def look(options: argparse.Namespace) -> Iterator[Finding]:
    """What every check finds, as it ends."""
    here = Caller(options=options)
    well = True
    for finding in examine(caller.CHECKS, here):
        well = well and finding.mark != "wrong"
        yield finding
    if not well:
        yield _all_skipped("what stands above")
        return
    found: list[Server] = []
    well = True
    for finding in servers(here, found):
        well = well and finding.mark != "wrong"
        yield finding
    if well:
        yield from caller.client(here)
    elif not found:
        yield _all_skipped(NAME)
    for server in found:
        for finding in examine(_OF_SERVERS, server):
            yield dataclasses.replace(finding, server=server.url if len(found) > 1 else "")
    hashes = {server.contract for server in found if server.contract}
    if len(hashes) > 1:
        yield Finding(
            check=service.CONTRACT,
            mark="note",
            sentence=f"the servers answer by different ones: {', '.join(sorted(hashes))}",
            advice="the client reads each answer by its own; update all servers to one state",
        )


def _all_skipped(cause: str) -> Finding:
    """One line for all checks of servers, none of which is called."""
    rest = ", ".join(check.name for check in _OF_SERVERS[1:])
    return Finding(check=_OF_SERVERS[0].name, mark="skipped", sentence=f"and {rest}: {cause} is wrong")


def _line(finding: Finding) -> str:
    server = f"{finding.server}  " if finding.server else ""
    indent = " " * (_MARKS + _WIDTH + 4)
    head = f"{finding.mark:<{_MARKS}}  {finding.check:<{_WIDTH}}  {server}{output.one_line(finding.sentence)}"
    return head + (f"\n{indent}-> {output.one_line(finding.advice)}" if finding.advice else "")
