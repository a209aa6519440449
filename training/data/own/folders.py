"""Pictures in folders by class: DIR/CLASS/picture.jpg, or DIR/SPLIT/CLASS/picture.jpg.

The classes are the labels of the task that `Settings.task` names. A task that nobody has defined becomes one
of the kind "classes" with the folders' names as its labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from training.data.own.columns import SPLIT_WORDS, drawn_split
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError
from training.data.reader_tools.source_files import PICTURE_SUFFIXES
from training.data.sample import BadSample, Sample
from training.kinds import kind_of
from training.task_files import adopt, classes_task
from training.tasks import CATALOGUE, Task


def open_folders(folder: Path, settings: Settings) -> OwnSource:
    """The classes of a folder's folders. LayoutError for a folder without any, and classes of no task."""
    parts = _splits(folder)
    classes = sorted({path.name for part in parts.values() for path in _folders(part)})
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
        for split, part in parts.items():
            for of_class in _folders(part):
                for path in _pictures(of_class):
                    key = path.relative_to(folder).as_posix()
                    labels = {task.name: label_of[of_class.name]}
                    chosen = split or settings.split or drawn_split(key)
                    yield Sample(key=key, picture=path, labels=labels, split=chosen)

    return OwnSource(
        form="folders",
        tasks=(task.name,),
        read=read,
        columns={name: f"{task.name} {label}" for name, label in label_of.items()},
    )


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


def _splits(folder: Path) -> dict[str, Path]:
    """The folders of splits by split; "" for the folder itself, where it has none."""
    found = {SPLIT_WORDS[path.name.lower()]: path for path in _folders(folder, by_split=True)}
    return found or {"": folder}


def _folders(folder: Path, *, by_split: bool = False) -> list[Path]:
    """The folders of classes, or those of splits, in the order of their names."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = [path for path in folders if path.name.lower() in SPLIT_WORDS]
    if by_split:
        return splits if len(splits) == len(folders) else []
    return [path for path in folders if any(True for _ in _pictures(path))]


def _pictures(folder: Path) -> Iterator[Path]:
    yield from sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    )
