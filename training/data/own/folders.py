"""Pictures in folders by class: DIR/CLASS/picture.jpg, or DIR/SPLIT/CLASS/picture.jpg.

The classes are the labels of the task that `Settings.task` names. A task that nobody has defined becomes one
of the kind "classes" with the folders' names as its labels.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from training.data.own.columns import SPLIT_WORDS, drawn_split
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError
from training.data.reader_tools.source_files import PICTURE_SUFFIXES
from training.data.sample import BadSample, Sample
from training.kinds import kind_of
from training.task_files import adopt, classes_task
from training.tasks import CATALOGUE, Task

# Formats that people have faces in, and that are not read.
# Formats that people have faces in, and that are not read.
_OTHER_PICTURES = frozenset(
    {".avif", ".bmp", ".dng", ".gif", ".heic", ".heif", ".jfif", ".jxl", ".tif", ".tiff"}
)
_LINKS = "links to folders"
_HIDDEN = ("__MACOSX",)  # beside what begins with a dot


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Contents:
    """What a folder has, at every level below it, but for what systems hide in it."""

    pictures: Sequence[Path]  # in the order of their names
    outside: Collection[Path]  # of these, links that lead out of the source
    others: Mapping[str, int]  # suffix -> files that are not read


def open_folders(folder: Path, settings: Settings) -> OwnSource:
    """The classes of a folder's folders. LayoutError for a folder without any, and classes of no task."""
    contents, parts = _parts(folder, settings)
    of_classes = [(split, path) for split, part in parts for path in _folders(part)]
    contents |= {path: _contents(path, root=folder) for _, path in of_classes if path not in contents}
    classes = sorted({path.name for _, path in of_classes if contents[path].pictures})
    if not classes:
        raise LayoutError(
            f"{folder} has no folders with pictures: put those of each class into one of its own"
        )
    if settings.task is None:
        raise LayoutError(
            f"{folder} has the folders {', '.join(classes)}: say with --task which task they are classes of"
        )
    task = _task(settings.task, classes, origin=str(folder))
    label_of = {name: kind_of(task).from_cell(task, name) for name in classes}

    def read() -> Iterator[Sample | BadSample]:
        for split, of_class in of_classes:
            for path in contents[of_class].pictures:
                key = path.relative_to(folder).as_posix()
                if path in contents[of_class].outside:
                    yield BadSample(key=key, reason=f"it leads out of {folder}: put a copy in its place")
                    continue
                labels = {task.name: label_of[of_class.name]}
                chosen = split or settings.split or drawn_split(key)
                yield Sample(key=key, picture=path, labels=labels, split=chosen)

    return OwnSource(
        form="folders",
        tasks=(task.name,),
        read=read,
        columns={name: f"{task.name} {label}" for name, label in label_of.items()},
        not_read=tuple(_not_read(folder, [part for _, part in parts], contents)),
    )


def _not_read(folder: Path, parts: Sequence[Path], contents: Mapping[Path, _Contents]) -> Iterator[str]:
    """What lies in a source and is no picture of a class, a sentence each."""
    for place in dict.fromkeys((folder, *parts)):
        suffixes = [path.suffix.lower() for path in _visible(place) if path.is_file()]
        if loose := sum(suffix in _OTHER_PICTURES or suffix in PICTURE_SUFFIXES for suffix in suffixes):
            yield f"{place} has {loose} pictures beside the classes' folders: move each into one of these"
    known = f"pictures are {', '.join(PICTURE_SUFFIXES)}"
    for place, there in contents.items():
        if place in parts:
            continue
        told = {s: n for s, n in there.others.items() if s == _LINKS or s in _OTHER_PICTURES}
        counts = told if there.pictures else there.others
        names = ", ".join(f"{n} {suffix or 'without a suffix'}" for suffix, n in sorted(counts.items()))
        if not there.pictures:
            yield f"{place} has no picture ({names or 'it is empty'}), so it is no class: {known}"
        elif told:
            yield f"{place} has files that are not read ({names}): {known}"


def _task(name: str, classes: Sequence[str], *, origin: str) -> Task:
    if name not in CATALOGUE:
        adopt(classes_task(name, classes), origin=origin)
    task = CATALOGUE[name]
    if not kind_of(task).exclusive:
        raise LayoutError(
            f"{name} is of the kind {task.kind}, and a folder is one of several classes: use a table"
        )
    for found in classes:
        try:
            kind_of(task).from_cell(task, found)
        except ValueError as error:
            raise LayoutError(f"the folder {found} of {origin}: {error}") from None
    return task


def _parts(folder: Path, settings: Settings) -> tuple[dict[Path, _Contents], list[tuple[str, Path]]]:
    """What each folder has, and the splits with the folders of their classes.

    Where there are no splits, "" with the folder itself. LayoutError for both splits and classes.
    """
    contents = {path: _contents(path, root=folder) for path in _folders(folder)}
    full = [path for path in contents if contents[path].pictures]
    splits = [path for path in full if path.name.lower() in SPLIT_WORDS]
    classes = [path for path in full if path not in splits]
    if splits and not classes:
        return contents, [(SPLIT_WORDS[path.name.lower()], path) for path in splits]
    labels = CATALOGUE[settings.task].labels if settings.task in CATALOGUE else ()
    if strange := [path.name for path in splits if path.name not in labels]:
        raise LayoutError(
            f"{folder} has a folder {strange[0]}, as a split is called, beside the class {classes[0].name}: "
            "put all classes into folders of splits, or none"
        )
    return contents, [("", folder)]


def _visible(folder: Path) -> list[Path]:
    """What a folder has, in the order of names, but for what systems hide in it."""
    return sorted(path for path in folder.iterdir() if not _is_hidden(path.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _HIDDEN


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _contents(folder: Path, *, root: Path) -> _Contents:
    pictures, outside, others = list[Path](), set[Path](), Counter[str]()
    inside, leads_out = root.resolve(), not folder.resolve().is_relative_to(root.resolve())
    for place, names, files in os.walk(folder, onerror=_refused):
        names[:] = [name for name in names if not _is_hidden(name)]
        if links := sum((Path(place) / name).is_symlink() for name in names):
            others[_LINKS] += links  # they may lead anywhere, in a circle too
        for path in (Path(place) / name for name in files if not _is_hidden(name)):
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                others[path.suffix.lower()] += 1
                continue
            pictures.append(path)
            if leads_out or (path.is_symlink() and not path.resolve().is_relative_to(inside)):
                outside.add(path)
    return _Contents(pictures=sorted(pictures), outside=outside, others=others)


def _refused(error: OSError) -> None:
    raise LayoutError(f"{error.filename} can't be read ({error.strerror}): allow it, or move it away")
