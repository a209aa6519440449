"""The options of every command that analyses photos: which, what is asked of them, and how the run goes."""

import argparse
import contextlib
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..client import FaceClient
from .argument_types import names, probability, share, whole_number

SEARCH = ("min_score", "max_faces", "min_face", "min_quality")


def add_photos(given: argparse._ArgumentGroup) -> None:
    """Add which photos there are: `photos`, `files_from`, `null`."""
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


def add_search(asked: argparse._ArgumentGroup, *, tasks: str) -> None:
    """Add what is asked of a photo. `tasks`: which tasks those are where none is named, for the help."""
    asked.add_argument(
        "--tasks", type=names, metavar="A,B", help=f"only these ({tasks}; `qface info` lists them)"
    )
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
        "--min-quality",
        type=probability,
        metavar="QUALITY",
        help="the quality below which a face is left out; 0 leaves out none (the server's: `qface info`)",
    )
    asked.add_argument(
        "--priority",
        type=int,
        choices=(0, 1),
        help="1: before all other requests that wait at the server (0)",
    )


def add_run(of_run: argparse._ArgumentGroup, *, quiet: str) -> None:
    """Add how the run goes. `quiet`: what is not printed then, for the help."""
    of_run.add_argument(
        "--concurrency",
        type=whole_number,
        default=8,
        metavar="N",
        help="photos under way at once (%(default)s)",
    )
    of_run.add_argument("-q", "--quiet", action="store_true", help=quiet)


def search(options: argparse.Namespace) -> dict[str, Any]:
    """The client's arguments of the search for faces."""
    return {name: getattr(options, name) for name in SEARCH}


def check_search(client: FaceClient, options: argparse.Namespace, tasks: Sequence[str] | None) -> None:
    """Raise what the server has against the search's options, by a picture of one colour."""
    if not options.replay and any(value is not None for value in search(options).values()):
        nothing = np.zeros((64, 64, 3), np.uint8)
        client.analyze(nothing, tasks, model=options.model, **search(options))


def read_photos_of_telephones() -> None:
    """Let Pillow read HEIF where the package for it is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
