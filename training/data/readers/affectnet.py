"""AffectNet's hand-labelled part, in either of its two releases.

Mollahosseini, Hasani, Mahoor, AffectNet, IEEE Transactions on Affective Computing 2017. Eight
expressions; contempt is not in the catalogue, so those pictures are left out, as are "none",
"uncertain" and "no face". The test part was never released: results are published on the validation
part, which is `test` here.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path, find_path_or_none, read_rows
from training.data.sample import BadSample, Sample, five_of_68

_EXPRESSIONS = label_map(
    "expression",
    {
        "0": "neutral",
        "1": "happiness",
        "2": "sadness",
        "3": "surprise",
        "4": "fear",
        "5": "disgust",
        "6": "anger",
    },
)
_LEFT_OUT = ("7", "8", "9", "10")  # contempt, none, uncertain, no face
# The file lists' columns: the list of the validation part has no header in some copies.
_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_LISTS = {"training.csv": "train", "validation.csv": "test"}
_FOLDERS = {"train_set": "train", "val_set": "test"}
_PREFIX = "Manually_Annotated"
_LISTS_IN = f"{_PREFIX}_file_lists"


def read(source: Path) -> Iterator[Sample | BadSample]:
    """The training part, then the validation part.

    A missing part is skipped as long as the other one exists; the counts show it.
    """
    folders = [folder for folder in _FOLDERS if (source / folder).is_dir()]
    for folder in folders:
        yield from _read_folder(source, folder=folder, split=_FOLDERS[folder])
    if folders:
        return
    tables = {
        name: find_path_or_none(source, f"{_LISTS_IN}/{name}", name, f"{_PREFIX}/{_LISTS_IN}/{name}")
        for name in _LISTS
    }
    if not any(tables.values()):
        raise LayoutError(
            f"AffectNet's lists are missing: they belong at {source / _LISTS_IN / 'training.csv'}"
        )
    for name, table in tables.items():
        if table is not None:
            yield from _read_list(source, table=table, split=_LISTS[name])


def _read_list(source: Path, *, table: Path, split: str) -> Iterator[Sample | BadSample]:
    """The large release: whole pictures, with the face's box and 68 points found by a program."""
    folder = find_path(
        source,
        f"{_PREFIX}_Images",
        f"{_PREFIX}/{_PREFIX}_Images",
        f"{_PREFIX}_compressed/{_PREFIX}_Images",
        what="the folder of AffectNet's pictures",
    )
    seen: set[str] = set()
    for number, row in enumerate(read_rows(table), start=1):
        if row[0] == _COLUMNS[0]:
            continue
        if len(row) != len(_COLUMNS):
            yield BadSample(
                key=f"{table.name} line {number}", reason=f"it has {len(row)} columns, not {len(_COLUMNS)}"
            )
            continue
        cells = dict(zip(_COLUMNS, row, strict=True))
        picture_name = cells["subDirectory_filePath"]
        key = f"{folder.relative_to(source).as_posix()}/{picture_name}"
        code = cells["expression"].strip()
        if code in _LEFT_OUT:
            continue
        try:
            x, y, width, height = (float(cells[column]) for column in _COLUMNS[1:5])
            points = np.array(cells["facial_landmarks"].split(";"), dtype=np.float64)  # x1;y1;x2;y2;...
            landmarks = five_of_68(points.reshape(-1, 2))
            expression = _EXPRESSIONS[code]
        except (ValueError, KeyError):
            yield BadSample(key=key, reason=f"its box, points or expression in {table.name} can't be read")
            continue
        if key in seen:
            yield BadSample(key=key, reason=f"{table.name} names it twice")
            continue
        seen.add(key)
        yield Sample(
            key=key,
            picture=folder / picture_name,
            labels={"expression": expression},
            split=split,
            box=(x, y, x + width, y + height),
            landmarks=landmarks,
        )


def _read_folder(source: Path, *, folder: str, split: str) -> Iterator[Sample | BadSample]:
    """The small release: faces of 224 x 224, a file with the expression beside each, and its 68 points."""
    images = find_path(source, f"{folder}/images", what=f"the folder of AffectNet's {folder}")
    annotations = find_path(
        source, f"{folder}/annotations", what=f"the folder of the labels of AffectNet's {folder}"
    )
    paths = [path for path in images.iterdir() if path.suffix.lower() in (".jpg", ".png")]
    if not paths:
        raise LayoutError(f"AffectNet's pictures are missing: they belong at {images / '0.jpg'}")
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem)):
        key = path.relative_to(source).as_posix()
        try:
            code = str(np.load(annotations / f"{path.stem}_exp.npy")).strip()
            if code in _LEFT_OUT:
                continue
            expression = _EXPRESSIONS[code]
            landmarks = _points(annotations / f"{path.stem}_lnd.npy")
        except FileNotFoundError:
            yield BadSample(key=key, reason=f"its label {path.stem}_exp.npy is missing")
            continue
        except (ValueError, KeyError, EOFError, OSError):
            yield BadSample(key=key, reason=f"its label {path.stem}_exp.npy or its points can't be read")
            continue
        yield Sample(
            key=key, picture=path, labels={"expression": expression}, split=split, landmarks=landmarks
        )


def _points(path: Path) -> NDArray[np.float64] | None:
    """Five points from a file of 68 (136 numbers), or None where there is none."""
    if not path.exists():
        return None
    return five_of_68(np.load(path).astype(np.float64).reshape(68, 2))


READER = Reader(
    name="affectnet",
    title="AffectNet, the hand-labelled part (Mollahosseini et al., TAC 2017)",
    licence="non-commercial research",
    page="http://mohammadmahoor.com/affectnet/: a form for researchers",
    tasks=("expression",),
    tree="""\
Manually_Annotated_file_lists/training.csv and validation.csv
Manually_Annotated_Images/689/737db2483489148d783ef278f43f486c0a97e140fc4b6b61b84363ca.jpg
or
train_set/images/0.jpg, train_set/annotations/0_exp.npy (and 0_lnd.npy), val_set/ the same""",
    expected=Expected(counts={"train": 283901, "test": 3500}),
    read=read,
)
