"""EmotioNet's hand-coded pictures: twelve action units, present, absent or not annotated.

Fabian Benitez-Quiroz et al., EmotioNet, CVPR 2016. The release is a table of addresses; which pictures
could still be fetched decides the size of the set. Q-Face, section 4.3: 20,722 pictures, 15,000 drawn at
random for training, the rest for testing. The million pictures whose action units a program found
(dataFile_0000.txt and on) are no part of it.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import normalized
from training.data.reader_tools.source_files import find_path, read_rows
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

_PICTURES, _TRAIN = 20722, 15000  # of the paper
_UNITS = CATALOGUE["action_units"].labels
_VALUES = {"0": 0.0, "1": 1.0}
_NOT_ANNOTATED = ("999", "")
_TABLES = (
    "EmotioNet_FACS_aws_2020_24600.csv",
    "EmotioNet_FACS.csv",
    "EmotioNet_FACS_aws.csv",
    "dataFile_1000.txt",
    "emotioNet_challenge_files_server_challenge_1.2_aws/dataFile_1000.txt",
    "emotioNet_challenge_files_server_challenge_1.2/dataFile_1000.txt",
)
_FOLDERS = ("images", "Images", "imgs", "img")


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every row of the table whose picture is there, in the table's order.

    A row without a picture is a dead address: it is left out silently.
    """
    table = find_path(source, *_TABLES, what="EmotioNet's annotation table (save the .xlsx as .csv)")
    pictures = _pictures(find_path(source, *_FOLDERS, what="the folder of EmotioNet's pictures"))
    rows = []
    for address, values in _rows(table):
        # Kept as in the address's last folders or in one folder.
        name = address.rsplit("/", 1)[-1]
        path = pictures.get(address.split("/Images/")[-1].lower()) or pictures.get(name.lower())
        if path is not None:
            rows.append((name, path, values))
    if not rows:
        place = source / "images" / "N_0000000001_00001.jpg"
        raise LayoutError(f"none of the pictures that {table} names is there: they belong at {place}")
    names = {name for name, _, _ in rows}
    count = _TRAIN if len(names) >= _PICTURES else round(len(names) * _TRAIN / _PICTURES)
    train = random_subset(names, count=count)
    seen: set[Path] = set()
    for name, path, values in rows:
        key = path.relative_to(source).as_posix()
        wrong = [value for value in values if value not in _VALUES and value not in _NOT_ANNOTATED]
        if path in seen:
            yield BadSample(key=key, reason=f"{table.name} names it twice")
        elif len(values) != len(_UNITS) or wrong:
            yield BadSample(
                key=key, reason=f"its line in {table.name} has other values than 0, 1, 999: {wrong}"
            )
        else:
            units = {
                unit: _VALUES[value] for unit, value in zip(_UNITS, values, strict=True) if value in _VALUES
            }
            split = "train" if name in train else "test"
            yield Sample(key=key, picture=path, labels={"action_units": units}, split=split)
        seen.add(path)


def _pictures(folder: Path) -> dict[str, Path]:
    """Every file below `folder`, by its path there and by its name, both in lower case."""
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            found.setdefault(name.lower(), path)
            found[path.relative_to(folder).as_posix().lower()] = path
    return found


def _rows(table: Path) -> Iterator[tuple[str, list[str]]]:
    """Each row's address and its values for the catalogue's action units, as text.

    Two forms: commas and a header (`'URL','URL orig','AU 1','AU 2',...`, the quotes are part of it), or
    tabs and none (address, original address, AU1 to AU60).
    """
    if table.suffix == ".txt":
        columns: Sequence[int] = [1 + int(unit.removeprefix("AU")) for unit in _UNITS]
        rows = read_rows(table, delimiter="\t", quotes=False)
    else:
        rows = read_rows(table)
        header = [word.replace("_", "").upper() for word in normalized(next(rows, []))]
        missing = [unit for unit in _UNITS if unit not in header]
        if missing:
            raise LayoutError(f"{table} has no column {', '.join(missing)}: fetch it again")
        columns = [header.index(unit) for unit in _UNITS]
    for row in rows:
        cells = [cell.strip().strip("'\"").strip() for cell in row]
        if cells[0]:
            values = [cells[i] for i in columns if i < len(cells)]
            yield cells[0], [value.removesuffix(".0") for value in values]


READER = Reader(
    name="emotionet",
    title="EmotioNet, the hand-coded pictures (Fabian Benitez-Quiroz et al., CVPR 2016)",
    licence="non-commercial research",
    page="http://cbcsl.ece.ohio-state.edu/dbform_emotionet.html: "
    "a form for research groups; it gives addresses of pictures, to be fetched",
    tasks=("action_units",),
    tree="""\
EmotioNet_FACS_aws_2020_24600.csv         'URL','URL orig','AU 1','AU 2', ...: 1, 0, or 999 for not judged
                                          (or dataFile_1000.txt of the challenge, with tabs, AU1 to AU60)
images/N_0000000001_00001.jpg             named as the end of the address, in folders or not""",
    expected=Expected(counts={"train": _TRAIN, "test": _PICTURES - _TRAIN}),
    read=read,
)
