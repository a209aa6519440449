"""`qface bench`: how long a server takes from here, and how much of that is this side's."""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc

from ...errors import InvalidInput, QFaceError
from .. import argument_types, connection_options, output, statuses
from ..connection_options import Commands
from ..direct_calls import DirectCalls
from . import report
from .rounds import Bench, Photo

_EXAMPLES = """\
examples:
  qface bench portrait.jpg
  qface bench holiday/*.jpg --seconds 30 --clients 8 --tasks age,gender --json
"""

_CLIENTS = (1, 4, 16)
_DIRECT_SECONDS = 5.0  # of a call without a picture
_MOST_CLIENTS = 256  # threads of one process; more are the load test's (docs/loadtest.md)


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "bench",
        parents=parents,
        allow_abbrev=False,
        help="measure a server from here",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="photos like those that you will send, with as many faces: they are sent in turn",
    )
    parser.add_argument(
        "--seconds",
        type=argument_types.seconds,
        default=5.0,
        metavar="N",
        help="each number of callers is measured for (%(default)g)",
    )
    parser.add_argument(
        "--clients",
        type=_counts,
        default=_CLIENTS,
        metavar="N,N",
        help="how many call at once, after one alone (1,4,16)",
    )
    parser.add_argument(
        "--tasks", type=argument_types.names, metavar="A,B", help="only these (all; see `qface info`)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what was measured, also where it ended early; returns the exit status."""
    photos = [_read(Path(file)) for file in options.photos]
    access = connection_options.access(options)
    with (
        connection_options.client(options) as client,
        DirectCalls(options.url, timeout=min(options.timeout, _DIRECT_SECONDS), **access) as direct,
    ):
        bench = Bench(
            client,
            direct,
            photos=photos,
            tasks=options.tasks,
            model=options.model,
            seconds=options.seconds,
            progress=output.log if sys.stderr.isatty() else lambda sentence: None,
        )
        ended: QFaceError | KeyboardInterrupt | None = None
        try:
            bench.run(options.clients)
        except (QFaceError, KeyboardInterrupt) as error:
            if not bench.measurement.rounds:
                raise
            ended = error
        server = _server(direct)
    show = report.as_data if options.json else report.as_text
    ends = "" if ended is None else output.one_line(str(ended)) or "interrupted"
    shown = show(bench.measurement, url=options.url, server=server, photos=photos, ends=ends)
    output.write(json.dumps(shown) if options.json else str(shown))
    if isinstance(ended, KeyboardInterrupt):
        raise ended
    return statuses.OK if ended is None else statuses.of(ended)


def _server(direct: DirectCalls) -> str:
    """The server's name and version; "" where it does not state them."""
    with contextlib.suppress(grpc.RpcError):
        return output.printable(" ".join(direct.server()))
    return ""


def _read(path: Path) -> Photo:
    try:
        return Photo(file=str(path), data=path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"can't be read: {error.strerror}", file=str(path)) from error


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or not all(1 <= count <= _MOST_CLIENTS for count in counts):
        raise argparse.ArgumentTypeError(
            f"numbers of callers from 1 to {_MOST_CLIENTS} with commas between them, not {text!r}"
        )
    return counts
