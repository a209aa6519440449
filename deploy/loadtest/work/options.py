"""WorkOptions: what is to be sent, and its words on the command line."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.loadtest.work.mix import Entry

PHOTO_LIMIT = 100
_DEFAULT_MIX = "photo=1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkOptions:
    """What is to be sent; ValueError at construction where it can't be.

    mix         entries; a request is drawn by their shares
    photos      folder of pictures, which take the place of the entry `photo`; None: the made ones
    photo_limit the most pictures of that folder that are sent
    tasks       sets of tasks, each of which a share of all requests asks for; none: all that are served
    model       of any V2 server, with made tensors in place of the mix; "": the mix
    shapes      of the model's inputs by their names, without the batch's dimension; for sizes left open
    batch       rows of a request to that model
    """

    mix: tuple[Entry, ...] = (Entry.parse(_DEFAULT_MIX),)
    photos: Path | None = None
    photo_limit: int = PHOTO_LIMIT
    tasks: tuple[tuple[str, ...], ...] = ()
    model: str = ""
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    batch: int = 1

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.mix]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"the mix has {twice!r} twice: give it once, with a larger share")
        if not self.mix:
            raise ValueError(f"the mix is empty: give an entry, as {_DEFAULT_MIX}")
        if self.photo_limit < 1:
            raise ValueError(f"{self.photo_limit} pictures of a folder are none: give 1 or more")
        if self.batch < 1:
            raise ValueError(f"a batch of {self.batch} rows can't be sent: give 1 or more")
        if not self.model and (self.shapes or self.batch > 1):
            raise ValueError("--shape and --batch are for --model: name the model, or leave them out")
        if self.model and (self.photos or self.tasks):
            raise ValueError("--model sends made tensors: leave --photos and --tasks out, or --model")
        for tasks in self.tasks:
            if not tasks or len(set(tasks)) < len(tasks):
                raise ValueError(
                    f"the tasks {','.join(tasks)!r} are none, or have one twice: give age,gender or the like"
                )


def add_work_options(parser: argparse.ArgumentParser) -> None:
    """The options of which `work_options` makes WorkOptions."""
    group = parser.add_argument_group("what is sent")
    group.add_argument(
        "--mix",
        nargs="+",
        type=_sentence(Entry.parse),
        metavar="KIND[:FACES][@SIZE]=SHARE",
        help="photo, face (a photo and the face's place) or crop, of made pictures: photo=1 "
        f"photo:8@1080p=0.5 crop=2 (default: {_DEFAULT_MIX}); crop:8 is 8 crops in a request",
    )
    group.add_argument("--photos", type=Path, metavar="DIR", help="pictures of your own, for the entry photo")
    group.add_argument(
        "--photo-limit", type=int, default=PHOTO_LIMIT, metavar="N", help="of them (default: %(default)s)"
    )
    group.add_argument(
        "--tasks",
        nargs="+",
        default=[],
        metavar="TASK,TASK",
        help="sets of tasks, each in its part of the requests (default: all tasks)",
    )
    group.add_argument("--model", default="", help="of any V2 server, with made tensors, in place of the mix")
    group.add_argument(
        "--shape",
        action="append",
        default=[],
        type=_sentence(parse_shape),
        metavar="INPUT:N,N",
        help="of an input of --model that leaves sizes open, without the batch",
    )
    group.add_argument("--batch", type=int, default=1, metavar="N", help="rows of --model (default: 1)")


def work_options(options: argparse.Namespace) -> WorkOptions:
    """ValueError with a sentence for options that don't go together."""
    return WorkOptions(
        **({"mix": tuple(options.mix)} if options.mix else {}),
        photos=options.photos,
        photo_limit=options.photo_limit,
        tasks=tuple(tuple(name for name in each.split(",") if name) for each in options.tasks),
        model=options.model,
        shapes=dict(options.shape),
        batch=options.batch,
    )


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """INPUT:N,N as a name and sizes; ValueError with a sentence for anything else."""
    name, _, sizes = text.rpartition(":")
    words: Sequence[str] = sizes.split(",")
    if not name or not all(word.isdecimal() and 0 < int(word) < 1 << 31 for word in words):
        raise ValueError(f"{text!r} is no shape: give INPUT:N,N with sizes above 0, as image:224,224,3")
    return name, tuple(int(word) for word in words)


def _sentence(parse: Any) -> Any:
    """The same function for argparse, which passes on the sentence of one sort of error only."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
