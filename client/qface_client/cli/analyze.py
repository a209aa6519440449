"""`qface analyze`: the faces of photos."""

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from . import connection_options, output, outputs, photo_options
from .connection_options import Commands
from .inputs import Inputs
from .outcomes import Outcomes
from .outputs import ChosenOutputs
from .progress import Progress

_EXAMPLES = """\
examples:
  qface analyze photo.jpg                                    a table for people
  qface analyze photos/ --csv faces.csv                      every picture in a folder and below it
  qface analyze photos/ --parquet faces.parquet --tasks age  for pandas, DuckDB, Spark
  qface analyze "photos/**/*.png" --json | jq .faces_found   a line of JSON an answered photo
  qface analyze photos/ --draw drawn/ --quiet                each photo with its answers on it
  curl -s https://example.org/a.jpg | qface analyze -        one picture from standard input
  find . -name "*.jpg" -print0 | qface analyze --files-from - --null --csv faces.csv

A photo without a face is an answer. A photo that fails is reported on standard error and hides no other; in
CSV and Parquet it has a row with its error, in --json no line. Ctrl-C ends at once and keeps what is
finished. Exit statuses: qface --help.
"""


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    own = argparse.ArgumentParser(add_help=False)
    photo_options.add_photos(own.add_argument_group("photos"))
    photo_options.add_search(own.add_argument_group("what is asked"), tasks="all")
    _add_outputs(own.add_argument_group("answers (a table on standard output, where none is named)"))
    photo_options.add_run(own.add_argument_group("the run"), quiet="no progress bar and no table")
    connection_options.add_stand_ins(own)
    parser = commands.add_parser(
        "analyze",
        parents=[own, *parents],
        allow_abbrev=False,
        usage="qface analyze PHOTO... [OPTION...]",
        help="the faces in photos, with the answers of the server's tasks",
        description="Sends photos to a server, and prints or writes what it answers of the faces in them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, fail=parser.error)


def _add_outputs(answers: argparse._ArgumentGroup) -> None:
    answers.add_argument("--csv", metavar="FILE", help="a row a face, as CSV; - writes it to standard output")
    answers.add_argument(
        "--parquet", metavar="FILE", help='the same as Parquet (needs "qface-client[parquet]")'
    )
    answers.add_argument(
        "--resume",
        action="store_true",
        help="go on with the table that is there: leave out the photos that it has answered",
    )
    answers.add_argument(
        "--draw", type=Path, metavar="DIR", help="write each photo with its answers on it into DIR"
    )


def run(options: argparse.Namespace) -> int:
    """Print, write and draw the answers; returns the exit status."""
    inputs = Inputs(
        operands=options.photos,
        files_from=options.files_from,
        null=options.null,
        left_out=options.draw,
    )
    if mistake := inputs.mistake() or outputs.mistake(options):
        options.fail(mistake)
    photo_options.read_photos_of_telephones()
    with ChosenOutputs(options) as chosen, connection_options.client(options) as client:
        contract = None
        if chosen.has_columns:
            contract = client.contract(model=options.model)
            contract.select(options.tasks)
        photo_options.check_search(client, options, options.tasks)
        outcomes = Outcomes(client, options, options.tasks)
        chosen.begin(contract, report=outcomes.report)
        first = 0
        if (earlier := chosen.earlier) is not None:
            inputs, first = dataclasses.replace(inputs, done=earlier), earlier.next_photo
            if not options.quiet:
                output.log(f"photos that {earlier.table} has answered, which are left out: {len(earlier):,}")
        answers = outcomes.answered(inputs, first=first)
        shown = Progress(inputs, shown=not options.quiet)
        try:
            with shown as progress, contextlib.closing(answers):
                for answered in answers:
                    if outcomes.take(answered):
                        progress.count(answered)
                        chosen.write(answered)
        except KeyboardInterrupt:
            output.log(f"interrupted after {shown.done}: {_kept(options)}")
            raise
    if outcomes.fatal is not None:
        raise outcomes.fatal
    return outcomes.status


def _kept(options: argparse.Namespace) -> str:
    resumed = "; the same command with --resume goes on" if outputs.can_be_resumed(options) else ""
    return f"what was answered is kept{resumed}"
