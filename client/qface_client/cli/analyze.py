"""`qface analyze`: the faces of photos."""

import argparse
import collections
import contextlib
import dataclasses
import importlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..client import FaceClient
from ..errors import InvalidInput, NotRecorded, QFaceError, RequestTimeout, ServerBusy, ServerError
from . import connection_options, output, outputs, statuses
from .argument_types import names, share, whole_number
from .connection_options import Commands
from .inputs import Inputs, Picture, hint
from .outputs import Answered, ChosenOutputs
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
    _add_photos(own.add_argument_group("photos"))
    _add_search(own.add_argument_group("what is asked"))
    _add_outputs(own.add_argument_group("answers (a table on standard output, where none is named)"))
    _add_run(own.add_argument_group("the run"))
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


def _add_photos(given: argparse._ArgumentGroup) -> None:
    given.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTO",
        help="a picture file; a folder, for all pictures in it and below it; a pattern in quotes "
        "('photos/**/*.jpg'); - for one picture on standard input",
    )
    given.add_argument(
        "--files-from",
        metavar="LIST",
        help="a file with one path a line, however many; - reads it from standard input",
    )
    given.add_argument("--null", action="store_true", help="paths in LIST end with a NUL (find -print0)")


def _add_search(asked: argparse._ArgumentGroup) -> None:
    asked.add_argument("--tasks", type=names, metavar="A,B", help="only these (all; `qface info` lists them)")
    asked.add_argument(
        "--min-score", type=share, metavar="SCORE", help="the score from which on a face counts (0.5)"
    )
    asked.add_argument(
        "--max-faces",
        type=whole_number,
        metavar="N",
        help="of more faces the best seen (the server's limit)",
    )
    asked.add_argument(
        "--min-face",
        type=share,
        metavar="SHARE",
        help="the smallest face to look for, as a share of the photo's longer side; 0.005 finds more in "
        "large photos and takes several times as long",
    )
    asked.add_argument(
        "--priority",
        type=int,
        choices=(0, 1),
        help="1: before all other requests that wait at the server (0)",
    )


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


def _add_run(of_run: argparse._ArgumentGroup) -> None:
    of_run.add_argument(
        "--concurrency",
        type=whole_number,
        default=8,
        metavar="N",
        help="photos under way at once (%(default)s)",
    )
    of_run.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no table")


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
    with contextlib.suppress(ImportError):  # where it is installed, photos of telephones are read
        importlib.import_module("pillow_heif").register_heif_opener()
    with ChosenOutputs(options) as chosen, connection_options.client(options) as client:
        contract = None
        if chosen.has_columns:
            contract = client.contract(model=options.model)
            contract.select(options.tasks)
        _check_search(client, options)
        outcomes = _Outcomes(client, options)
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


def _check_search(client: FaceClient, options: argparse.Namespace) -> None:
    """Raise what the server has against the search's options, by a picture of one colour."""
    if not options.replay and any(value is not None for value in _search(options).values()):
        nothing = np.zeros((64, 64, 3), np.uint8)
        client.analyze(nothing, options.tasks, model=options.model, **_search(options))


def _search(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("min_score", "max_faces", "min_face")}


class _Outcomes:
    """What became of the photos of a run.

    `status`: of the command, by the errors so far. `fatal`: an error that all further photos would meet too;
    then none is begun any more, and those under way are waited for.
    """

    def __init__(self, client: FaceClient, options: argparse.Namespace) -> None:
        self._client = client
        self._options = options
        self._sent: collections.deque[Picture] = collections.deque()
        self.status = statuses.OK
        self.fatal: QFaceError | None = None

    def answered(self, inputs: Inputs, *, first: int) -> Generator[Answered, None, None]:
        """Each photo's outcome in the order of the photos, a few of them under way at once.

        `first`: the number of the first photo.
        """
        options = self._options
        results = self._client.analyze_many(
            self._photos(inputs),
            options.tasks,
            model=options.model,
            **_search(options),
            priority=options.priority,
            concurrency=options.concurrency,
            ordered=True,
        )
        with contextlib.closing(results):
            for result in results:
                yield Answered(
                    index=first + result.index,
                    picture=self._sent.popleft(),
                    analysis=result.analysis,
                    error=result.error,
                )

    def take(self, answered: Answered) -> bool:
        """Report a photo's error; False where the photo was not answered at all."""
        error, name = answered.error, answered.picture.name
        if isinstance(error, InvalidInput):
            self.report(error, name=name, hint=hint(answered.picture))
        elif isinstance(error, ServerBusy | ServerError | RequestTimeout | NotRecorded):
            output.log(_named(error, name))
            self.status = max(self.status, statuses.SERVER_FAILED)
        elif error is not None:
            self.fatal = self.fatal or error
            return False
        return True

    def report(self, error: InvalidInput, *, name: str = "", hint: str = "") -> None:
        """Print an error of a photo, a folder or a drawing."""
        output.log(f"{_named(error, name)}{hint}")
        self.status = max(self.status, statuses.BAD_INPUT)

    def _photos(self, inputs: Inputs) -> Generator[str | bytes, None, None]:
        for picture in inputs:
            if self.fatal is not None:
                return
            if isinstance(picture, InvalidInput):
                self.report(picture)
            else:
                self._sent.append(picture)
                yield picture.photo


def _named(error: QFaceError, name: str) -> str:
    """The error's sentence with the photo's name, which errors of files have themselves."""
    return str(error) if isinstance(error, InvalidInput) and error.file else f"{name}: {error}"
