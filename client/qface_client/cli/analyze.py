"""`qface analyze`: the faces of photos."""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image
from tqdm import tqdm

from .._drawing import captions
from ..draw import draw_faces
from ..errors import InvalidInput, QFaceError, RequestTimeout, ServerBusy, ServerError
from ..results import Analysis, Face
from . import connection_options, output, statuses
from .connection_options import Commands

A = TypeVar("A")
B = TypeVar("B")

IN_FLIGHT = 4  # photos under way at once: enough to keep a server busy, few enough to hold


def add(commands: Commands, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "analyze", parents=parents, allow_abbrev=False, help="say what the faces in photos tell"
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG, PNG or WebP files")
    parser.add_argument(
        "--tasks",
        type=connection_options.names,
        metavar="A,B",
        help="only these (all; `qface info` lists them)",
    )
    parser.add_argument(
        "--min-score", type=float, metavar="SCORE", help="the score from which on a face counts (0.5)"
    )
    parser.add_argument(
        "--max-faces", type=int, metavar="N", help="of more faces the best seen (the server's limit)"
    )
    parser.add_argument(
        "--min-face",
        type=float,
        metavar="SHARE",
        help="the smallest face to look for, as a share of the photo's longer side; 0.005 finds more in "
        "large photos and takes several times as long",
    )
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write each photo with its answers into DIR")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print, draw and count the answers; returns the exit status."""
    photos: list[str] = options.photos
    targets = _targets(photos, options.draw) if options.draw else [None] * len(photos)
    status = statuses.OK
    fatal: QFaceError | None = None
    with connection_options.client(options) as client:
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
                    output.log(str(error))
                    status = max(status, statuses.BAD_INPUT)
                elif isinstance(error, ServerBusy | ServerError | RequestTimeout):
                    output.log(f"{photo}: {error}")
                    status = max(status, statuses.SERVER_FAILED)
                elif error is not None:  # further photos would meet it too; those under way are waited for
                    fatal = fatal or error
                    enough.set()
                    continue  # never answered: the bar of a run that ends early is not full
                progress.update()
    if fatal is not None:
        raise fatal
    return status


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
        output.write(json.dumps(analysis.to_json(file=photo)))
        return
    lines = [f"{photo}  {analysis.width}x{analysis.height}  {_count(analysis)}"]
    for number, face in enumerate(analysis, start=1):
        lines += _table(face, number=number)
    output.write("\n".join(lines))


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
