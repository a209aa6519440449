"""The command line.

    qface analyze PHOTO... [--tasks a,b] [--model NAME] [--url host:port] [--json] [--draw DIR]
                           [--min-score SCORE] [--max-faces N] [--min-face SHARE]
    qface info [--model NAME] [--url host:port] [--json]

Both take --api-key-file FILE, --tls, --tls-ca, --tls-cert and --tls-key, which go before the environment
(QFACE_API_KEY, QFACE_API_KEY_FILE, QFACE_TLS, QFACE_TLS_CA, QFACE_TLS_CERT, QFACE_TLS_KEY).

Exit status: 0 all photos were answered (a photo without a face is one answer); 1 the server could not be
reached or failed, or standard output can't be written; 2 a photo could not be read (the others are still
answered), the command is wrong, or the server does not let who calls do this; 130 after Ctrl-C; 141 when
who reads standard output has gone.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image
from tqdm import tqdm

from ._connection.access import Tls, environment_files, read_key_file
from ._drawing import captions
from ._exchange.exchange import DEFAULT_URL
from ._version import __version__
from .client import FaceClient
from .draw import draw_faces
from .errors import (
    InvalidInput,
    NotAuthorized,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
    UnknownModel,
    UnknownTask,
)
from .results import Analysis, Face

A = TypeVar("A")
B = TypeVar("B")

IN_FLIGHT = 4  # photos under way at once: enough to keep a server busy, few enough to hold

OK, SERVER_FAILED, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


class _NoOutput(Exception):
    """Standard output can't be written; the cause is its OSError."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is escaped rather than an end to everything.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of a photo's metadata, in lines of its own
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except QFaceError as error:
        _log(str(error))
        mistakes = InvalidInput | UnknownTask | UnknownModel | NotAuthorized
        return BAD_INPUT if isinstance(error, mistakes) else SERVER_FAILED
    except _NoOutput as error:
        return _without_output(error.__cause__)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qface", description="Asks a Q-Face server about the faces in photos."
    )
    parser.add_argument("--version", action="version", version=f"qface-client {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--url",
        default=DEFAULT_URL,
        metavar="HOST:PORT",
        help="the server's gRPC (%(default)s); several servers: IP:PORT,IP:PORT or dns:///NAME:PORT",
    )
    server.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="a photo (%(default)g)"
    )
    server.add_argument("--model", metavar="NAME", help="which of the server's networks (the first)")
    server.add_argument("--json", action="store_true", help="plain data instead of text")
    _add_access(server)

    analyze = commands.add_parser(
        "analyze", parents=[server], allow_abbrev=False, help="say what the faces in photos tell"
    )
    analyze.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG, PNG or WebP files")
    analyze.add_argument(
        "--tasks", type=_names, metavar="A,B", help="only these (all; `qface info` lists them)"
    )
    analyze.add_argument(
        "--min-score", type=float, metavar="SCORE", help="the score from which on a face counts (0.5)"
    )
    analyze.add_argument(
        "--max-faces", type=int, metavar="N", help="of more faces the best seen (the server's limit)"
    )
    analyze.add_argument(
        "--min-face",
        type=float,
        metavar="SHARE",
        help="the smallest face to look for, as a share of the photo's longer side; 0.005 finds more in "
        "large photos and takes several times as long",
    )
    analyze.add_argument(
        "--draw", type=Path, metavar="DIR", help="write each photo with its answers into DIR"
    )
    analyze.set_defaults(command=_analyze)

    info = commands.add_parser(
        "info", parents=[server], allow_abbrev=False, help="say which tasks the server has"
    )
    info.set_defaults(command=_info)
    return parser


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("key and encryption, where the server asks for them")
    access.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="a file with the API key (QFACE_API_KEY_FILE, or the key itself in QFACE_API_KEY); no option "
        "takes the key: other users of a machine can read command lines",
    )
    access.add_argument(
        "--insecure-key", action="store_true", help="send the key unencrypted to another machine"
    )
    access.add_argument("--tls", action="store_true", help="encrypt the connection (QFACE_TLS=1)")
    for option, name, text in (
        ("--tls-ca", "root_certificates", "PEM file of who signed the server's certificate (QFACE_TLS_CA)"),
        ("--tls-cert", "certificate_chain", "PEM file of the own certificate (QFACE_TLS_CERT)"),
        ("--tls-key", "private_key", "PEM file of the own certificate's key (QFACE_TLS_KEY)"),
    ):
        access.add_argument(option, dest=name, metavar="FILE", help=text)


def _client(options: argparse.Namespace) -> FaceClient:
    names = ("root_certificates", "certificate_chain", "private_key")
    files = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return FaceClient(
        options.url,
        timeout=options.timeout,
        api_key=None if options.api_key_file is None else read_key_file(options.api_key_file),
        # Without an option the environment decides; with one it still gives the files that are not named.
        tls=Tls(**{**environment_files(), **files}) if files or options.tls else None,
        insecure_key=options.insecure_key,
    )


def _analyze(options: argparse.Namespace) -> int:
    photos: list[str] = options.photos
    targets = _targets(photos, options.draw) if options.draw else [None] * len(photos)
    status = OK
    fatal: QFaceError | None = None
    with _client(options) as client:
        if options.tasks:
            # A wrong name is one line, not one a photo.
            client.contract(model=options.model).select(options.tasks)

        def answer(item: tuple[str, Path | None]) -> tuple[Analysis | None, QFaceError | None]:
            photo, target = item
            analysis = None
            try:
                analysis = client.analyze(
                    photo,
                    tasks=options.tasks,
                    model=options.model,
                    min_score=options.min_score,
                    max_faces=options.max_faces,
                    min_face=options.min_face,
                )
                if target is not None:
                    _write_drawing(photo, analysis, target=target)
            except QFaceError as error:
                return analysis, error
            return analysis, None

        off = True if len(photos) < 2 else None  # None: shown on a terminal only
        enough = threading.Event()
        answers = _in_order(answer, zip(photos, targets, strict=True), enough=enough)
        with (
            tqdm(total=len(photos), unit="photo", disable=off) as progress,
            contextlib.closing(answers),
        ):
            for (photo, _), (analysis, error) in answers:
                if analysis is not None:
                    _print(analysis, photo=photo, as_json=options.json)
                if isinstance(error, InvalidInput):
                    _log(str(error))
                    status = max(status, BAD_INPUT)
                elif isinstance(error, ServerBusy | ServerError | RequestTimeout):
                    _log(f"{photo}: {error}")
                    status = max(status, SERVER_FAILED)
                elif error is not None:  # further photos would meet it too; those under way are waited for
                    fatal = fatal or error
                    enough.set()
                    continue  # never answered: the bar of a run that ends early is not full
                progress.update()
    if fatal is not None:
        raise fatal
    return status


def _info(options: argparse.Namespace) -> int:
    with _client(options) as client:
        contract, models = client.contract(model=options.model), client.models()
        notice, precision = client.notice(model=options.model), client.precision(model=options.model)
    if options.json:
        about = {"models": list(models), "precision": precision, "notice": notice}
        _write(json.dumps({**contract.to_json(), **about}))
        return OK
    wide = max((len(name) for name in contract.names), default=0)
    computed = f"  computed in {_printable(precision)}" if precision else ""
    lines = [f"{options.url}  contract {contract.hash}  crops of {contract.input_size} pixels{computed}"]
    lines += [
        f"  {task.name:<{wide}}  {task.kind} in {task.unit}: {', '.join(task.labels)}"
        for task in contract.tasks
    ]
    if len(models) > 1:
        lines.append(f"  models: {', '.join(models)} (--model NAME picks one)")
    if notice:
        lines.append(textwrap.indent(f"notice: {_printable(notice)}", "  "))
    _write("\n".join(lines))
    return OK


def _in_order(
    work: Callable[[A], B], items: Iterable[A], *, enough: threading.Event
) -> Generator[tuple[A, B], None, None]:
    """Each item with its outcome, in order, a few at once and no more held than that.

    Once `enough` is set no further item is begun, and those that were begun are still given.
    """
    pool = concurrent.futures.ThreadPoolExecutor(IN_FLIGHT)
    waiting: collections.deque[tuple[A, concurrent.futures.Future[B]]] = collections.deque()
    try:
        for item in items:
            if enough.is_set():
                break
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > 2 * IN_FLIGHT:
                first, outcome = waiting.popleft()
                yield first, outcome.result()
        while waiting:
            first, outcome = waiting.popleft()
            if not (enough.is_set() and outcome.cancel()):
                yield first, outcome.result()
    finally:
        # Not waited for: after Ctrl-C the client's end cancels what is under way.
        pool.shutdown(wait=False, cancel_futures=True)


def _targets(photos: Sequence[str], folder: Path) -> list[Path | None]:
    """A file in `folder` for each photo, in their order: its own name, numbered where two have one name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"can't be made into a folder for drawings: {error.strerror}", file=str(folder)
        ) from error
    sources = {Path(photo).resolve() for photo in photos}
    targets: list[Path | None] = []
    taken: set[Path] = set()
    for photo in photos:
        name = Path(photo)
        suffix = ".jpg" if name.suffix.lower() in (".jpg", ".jpeg") else ".png"
        target, number = folder / f"{name.stem}{suffix}", 1
        while target in taken or target.resolve() in sources:
            number += 1
            target = folder / f"{name.stem}-{number}{suffix}"
        taken.add(target)
        targets.append(target)
    return targets


def _write_drawing(photo: str, analysis: Analysis, *, target: Path) -> None:
    try:
        with Image.open(photo) as picture:
            drawn = draw_faces(picture, analysis)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"was answered, but can't be drawn on: {error}", file=photo) from error
    try:
        drawn.save(target, quality=92, subsampling=0)
    except OSError as error:
        raise InvalidInput(f"the drawing can't be written to {target}: {error}", file=photo) from error


def _print(analysis: Analysis, *, photo: str, as_json: bool) -> None:
    if as_json:
        _write(json.dumps(analysis.to_json(file=photo)))
        return
    lines = [f"{photo}  {analysis.width}x{analysis.height}  {_count(analysis)}"]
    for number, face in enumerate(analysis, start=1):
        lines += _table(face, number=number)
    _write("\n".join(lines))


def _count(analysis: Analysis) -> str:
    """How many faces there are, how many more were found, and how small ones were looked for."""
    count, found = len(analysis), analysis.faces_found
    faces = "no face" if count == 0 else "1 face" if count == 1 else f"{count} faces"
    more = f" of {found} found" if found > count else ""
    smallest = analysis.smallest_face
    return f"{faces}{more}" + ("" if smallest is None else f", looked for from {smallest:.0f} pixels on")


def _table(face: Face, *, number: int) -> list[str]:
    x0, y0, x1, y1 = (round(edge) for edge in face.box)
    rows = captions.full(face) + captions.looked_at(face)
    wide = max((len(row.name) for row in rows), default=0)
    head = f"  face {number}  score {face.score:.2f}  box {x0},{y0} to {x1},{y1}"
    return [head, *(f"    {row.name:<{wide}}  {row.text}" for row in rows)]


def _printable(text: str) -> str:
    """A server's text as a terminal may have it."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("names of tasks with commas between them, like `age,gender`")
    return names


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text!r}")
    return seconds


def _write(text: str) -> None:
    """To standard output at once; past the progress bar where both may be on one screen."""
    try:
        if sys.stderr.isatty():
            tqdm.write(text, file=sys.stdout)
        else:
            print(text)
        sys.stdout.flush()
    except OSError as error:
        raise _NoOutput from error


def _without_output(error: BaseException | None) -> int:
    # What is still in the buffer would be tried, and complained about, once more at the end.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # `qface ... | head`: who reads has enough
        return NO_READER
    _log(f"standard output can't be written: {getattr(error, 'strerror', None) or error}")
    return SERVER_FAILED


def _log(sentence: str) -> None:
    """One line on standard error, above the progress bar if there is one."""
    tqdm.write(f"qface: {' '.join(sentence.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
