"""`qface report`: the faces of a folder of photos, as one page to look at."""

import argparse
import contextlib
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePath

from ...errors import InvalidInput
from .. import connection_options, output, photo_options
from ..argument_types import whole_number
from ..connection_options import Commands
from ..inputs import Inputs
from ..outcomes import Outcomes
from ..outputs.whole_file import WholeFile
from ..progress import Progress
from . import markup
from .about import about
from .copied import find_copies
from .gathered import Gathered
from .page import page
from .sections import Material
from .spool import Spool

SUFFIXES = (".html", ".htm")
MOST = 500  # photos that are shown unless another number is given

_EXAMPLES = """\
examples:
  qface report photos/ --html report.html                    every picture in a folder and below it
  qface report photos/ --html report.html --tasks age        of these answers only
  qface report photos/ --html report.html --most 2000        of many photos, more of them shown
  qface report photos/ --html report.html --replay answers.rec   without a server (qface analyze --record)

The page is one file without anything from elsewhere: a browser opens it where it lies. It has small copies of
the photos in it. Photos that fail are listed in it and on standard error. Ctrl-C, or a server that goes away,
leaves no page, and an earlier one as it was. Exit statuses: qface --help.
"""


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    own = argparse.ArgumentParser(add_help=False)
    photo_options.add_photos(own.add_argument_group("photos"))
    photo_options.add_search(
        own.add_argument_group("what is asked"),
        tasks="all but those that a server marks as asked for by name",
    )
    _add_output(own.add_argument_group("the report"))
    photo_options.add_run(own.add_argument_group("the run"), quiet="no progress bar, and nothing printed")
    connection_options.add_stand_ins(own)
    parser = commands.add_parser(
        "report",
        parents=[own, *parents],
        allow_abbrev=False,
        usage="qface report PHOTO... --html FILE [OPTION...]",
        help="a page about a folder of photos: pictures with answers, distributions, doubts, near copies",
        description="Sends photos to a server, and writes what it answers of the faces in them as one HTML "
        "page: photos with their answers, how these spread, which are in doubt, which are near copies.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, fail=parser.error)


def _add_output(written: argparse._ArgumentGroup) -> None:
    written.add_argument("--html", required=True, metavar="FILE", help="the page, a name that ends in .html")
    written.add_argument(
        "--most",
        type=whole_number,
        default=MOST,
        metavar="N",
        help="photos that are shown, those most in doubt, and as many without a face (%(default)s); all are "
        "counted",
    )


def run(options: argparse.Namespace) -> int:
    """Write the report; returns the exit status."""
    inputs = Inputs(operands=options.photos, files_from=options.files_from, null=options.null)
    if mistake := inputs.mistake() or _mistake(options):
        options.fail(mistake)
    photo_options.read_photos_of_telephones()
    with contextlib.ExitStack() as stack:
        file = WholeFile(options.html)
        stack.callback(file.discard)
        client = stack.enter_context(connection_options.client(options))
        stated = about(options, client, title=_title(options), when=datetime.now().astimezone())
        tasks = [task.name for task in stated.tasks]
        photo_options.check_search(client, options, tasks)
        spool = stack.enter_context(Spool())
        gathered = stack.enter_context(
            Gathered(stated.contract, stated.tasks, spool=spool, most=options.most)
        )
        outcomes = Outcomes(
            client, options, tasks, on_unlisted=lambda error: gathered.fail(error.file or "", str(error))
        )
        shown = Progress(inputs, shown=not options.quiet)
        try:
            with shown as progress, contextlib.closing(outcomes.answered(inputs)) as answers:
                for answered in answers:
                    if outcomes.take(answered):
                        progress.count(answered)
                        gathered.take(answered)
            if outcomes.fatal is not None:
                raise outcomes.fatal
            gathered.finish()
            if not gathered.photos:
                raise InvalidInput("no report is written: there was no photo")
            copies = find_copies(gathered, read=spool.read)
            material = Material(
                about=stated,
                gathered=gathered,
                copies=copies,
                read=spool.read,
                page=Path(file.name).resolve(),
            )
            _write(file, material)
        except KeyboardInterrupt:
            output.log(f"interrupted after {shown.done}: no report is written")
            raise
    _print(options, gathered)
    return outcomes.status


def _mistake(options: argparse.Namespace) -> str | None:
    if PurePath(options.html).suffix.lower() not in SUFFIXES:
        return f"--html {options.html}: a browser opens what ends in .html; name it so"
    final = os.path.realpath(options.html)
    if PurePath(final).suffix.lower() not in SUFFIXES:
        return f"--html {options.html} leads to {final}, which is no page: name another file"
    others = [*options.photos, options.files_from, options.replay, options.record]
    if final in (os.path.realpath(name) for name in others if name):
        return f"--html {options.html} would replace what is read or recorded: name another file"
    return None


def _title(options: argparse.Namespace) -> str:
    """What the photos are, as they were named."""
    named = [*options.photos, *([options.files_from] if options.files_from else [])]
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return f"{named[0]}{more}"


def _write(file: WholeFile, material: Material) -> None:
    try:
        with file.path.open("w", encoding="utf-8", newline="\n") as opened:
            opened.writelines(page(material))
    except OSError as error:
        raise output.NoOutput(file.name) from error
    file.keep()


def _print(options: argparse.Namespace, gathered: Gathered) -> None:
    counts = {
        "photos": gathered.photos,
        "faces": gathered.faces,
        "without_face": gathered.answered - gathered.photos_with_faces,
        "failed": gathered.failed,
        "in_doubt": gathered.doubtful_faces,
    }
    if options.json:
        output.write(json.dumps({"html": options.html, **counts}))
    elif not options.quiet:
        photos, faces = markup.count(gathered.photos, "photo"), markup.count(gathered.faces, "face")
        output.write(
            f"{output.name_in_line(options.html)}: {photos}, {counts['failed']:,} failed, "
            f"{counts['without_face']:,} without a face; {faces}, {counts['in_doubt']:,} in doubt"
        )
