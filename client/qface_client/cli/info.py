"""`qface info`: which tasks and models a server has."""

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

from . import connection_options, output, statuses
from .connection_options import Commands
from .direct_calls import stated_server


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    own = argparse.ArgumentParser(add_help=False)
    connection_options.add_stand_ins(own)
    parser = commands.add_parser(
        "info",
        parents=[*parents, own],
        allow_abbrev=False,
        help="which tasks and networks the server has, by which contract",
        description="Prints what a server answers: its tasks with their labels and units, its networks, "
        "and the notice for the people whose faces are analysed.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the server's contract; returns the exit status."""
    with connection_options.client(options) as client:
        contract, models = client.contract(model=options.model), client.models()
        notice, precision = client.notice(model=options.model), client.precision(model=options.model)
        server = stated_server(options)
    if options.json:
        about = {"models": list(models), "precision": precision, "notice": notice, "server": server}
        output.write(json.dumps({**contract.to_dict(), **about}))
        return statuses.OK
    name_width = max((len(name) for name in contract.names), default=0)
    computed = f"  computed in {output.printable(precision)}" if precision else ""
    answering = connection_options.answering(options)
    lines = [f"{answering}  contract {contract.hash}  crops of {contract.input_size} pixels{computed}"]
    lines += [
        _wrapped(
            f"  {task.name:<{name_width}}  {task.kind} in {task.unit}: {', '.join(task.labels)}",
            indent=name_width + 4,
        )
        for task in contract.tasks
    ]
    if server:
        lines.append(f"  server: {output.printable(server['name'])} {output.printable(server['version'])}")
    if len(models) > 1:
        lines.append(f"  models: {', '.join(models)} (--model NAME picks one)")
    if notice:
        lines.append(textwrap.indent(f"notice: {output.printable(notice)}", "  "))
    output.write("\n".join(lines))
    return statuses.OK


def _wrapped(line: str, *, indent: int) -> str:
    """A line as a terminal is wide; of what is read by a program, as it is."""
    if not sys.stdout.isatty():
        return line
    width = max(shutil.get_terminal_size().columns, indent + 20)
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
