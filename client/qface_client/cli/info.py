"""`qface info`: which tasks and models a server has."""

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

from ..contract import TaskSpec
from ..kinds._expected_errors import DRAWN_SHARE
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
            f"  {task.name:<{name_width}}  {task.kind} in {task.unit}: "
            f"{', '.join(task.labels)}{_error(task)}",
            indent=name_width + 4,
        )
        for task in contract.tasks
    ]
    if (rule := contract.quality) is not None:
        lines.append(
            f"  quality: {rule.label} of {rule.task}; faces of photos below {rule.minimum:g} are left out "
            "(--min-quality)"
        )
    if server:
        lines.append(f"  server: {output.printable(server['name'])} {output.printable(server['version'])}")
    if len(models) > 1:
        lines.append(f"  models: {', '.join(models)} (--model NAME picks one)")
    if notice:
        lines.append(textwrap.indent(f"notice: {output.printable(notice)}", "  "))
    output.write("\n".join(lines))
    return statuses.OK


def _error(task: TaskSpec) -> str:
    """How the task's expected error is read, behind its labels; "" where the server states none."""
    if not task.states_error or task.error is None:
        return ""
    return (
        f"; expected error in {task.error.unit} "
        f"({DRAWN_SHARE:.0%} of true values within {task.error.factor(DRAWN_SHARE):.2g} times it)"
    )


def _wrapped(line: str, *, indent: int) -> str:
    """A line as a terminal is wide; of what is read by a program, as it is."""
    if not sys.stdout.isatty():
        return line
    width = max(shutil.get_terminal_size().columns, indent + 20)
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
