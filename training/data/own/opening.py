"""Opens a source of one's own by what it is, and makes a Reader of it."""

import re
from pathlib import Path

from training.data.addresses import Address
from training.data.own.coco import open_coco
from training.data.own.folders import open_folders
from training.data.own.source import OwnSource, Settings
from training.data.own.tables import SUFFIXES, open_table
from training.data.own.webdataset import open_webdataset
from training.data.reader import Expected, LayoutError, Reader
from training.data.readers import readers

OWN = "own"  # as in `prepare own`
_TREE = f"""\
faces.csv                 a row a face: path (or bytes), split, person, columns called as tasks
                          ({", ".join(SUFFIXES)})
DIR/[SPLIT/]CLASS/*.jpg   with --task
annotations.json          COCO's
DIR/*.tar                 WebDataset's, with .json or .cls; also s3://BUCKET/faces-{{000..009}}.tar"""


def open_source(source: Path | Address, settings: Settings) -> OwnSource:
    """What a source is and labels. LayoutError for what is of no known form, or can't be understood."""
    if isinstance(source, Address):
        return open_webdataset(source, settings)
    if not source.exists():
        raise LayoutError(f"{source} does not exist: name a table, a folder, a COCO file or tars")
    if settings.root is not None and not settings.root.is_dir():
        raise LayoutError(f"--root {settings.root} is no folder")
    suffix = source.suffix.lower()
    if source.is_dir():
        tars = any(source.glob("*.tar"))
        return open_webdataset(source, settings) if tars else open_folders(source, settings)
    if suffix in SUFFIXES:
        return open_table(source, settings)
    if suffix == ".json":
        return open_coco(source, settings)
    if suffix == ".tar":
        return open_webdataset(source, settings)
    raise LayoutError(
        f"{source} is of no form that is known: it is a table ({', '.join(SUFFIXES)}), a COCO file (.json), "
        "WebDataset's tars (.tar), or a folder with a folder a class"
    )


def own_reader(
    source: Path | Address, settings: Settings, *, name: str | None = None, licence: str = "private"
) -> Reader:
    """A Reader of a source. ValueError for a name that can't be a set's, LayoutError as `open_source`."""
    called = source.absolute().stem if isinstance(source, Path) else source.stem
    chosen = name or re.sub(r"[^a-z0-9]+", "_", called.lower()).strip("_")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", chosen):
        raise ValueError(f"a set can't be called {chosen!r}: give --set-name small letters, digits and _")
    if chosen in readers() or chosen == OWN:
        raise ValueError(f"{chosen} is a data set that is known already: give --set-name another name")
    opened = open_source(source, settings)
    return Reader(
        name=chosen,
        title=f"{source.name}, {opened.form}",
        licence=licence,
        tasks=opened.tasks,
        tree=_TREE,
        expected=Expected(counts={}),
        read=lambda _: opened.read(),
        takes_files=True,
        named_by_source=True,
        not_read=opened.not_read,
    )
