"""FER2013: seven expressions, 48 x 48 pixels in grey.

Goodfellow et al., Challenges in Representation Learning, ICONIP 2013. Two forms are read: the contest's
fer2013.csv (PublicTest is for validation, PrivateTest for testing), and folders of pictures. Folders
without a `test` test on `validation`.
"""

import csv
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path_or_none
from training.data.sample import BadSample, Sample

_SIDE = 48
_USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
_NUMBERS = label_map(
    "expression",
    {
        "0": "anger",
        "1": "disgust",
        "2": "fear",
        "3": "happiness",
        "4": "sadness",
        "5": "surprise",
        "6": "neutral",
    },
)
_FOLDERS = label_map(
    "expression",
    {
        "angry": "anger",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happiness",
        "neutral": "neutral",
        "sad": "sadness",
        "surprise": "surprise",
    },
)


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture, in the table's order or that of the folders and names."""
    table = find_path_or_none(source, "fer2013.csv", "fer2013/fer2013.csv")
    return _table(table) if table else _folders(source)


def _table(path: Path) -> Iterator[Sample | BadSample]:
    csv.field_size_limit(sys.maxsize)  # a picture is one field
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        if next(rows, None) != ["emotion", "pixels", "Usage"]:
            raise LayoutError(f"{path} does not begin with emotion,pixels,Usage: the contest's belongs there")
        for i, row in enumerate(rows):
            key = f"{path.name}:{i + 2}"  # the line
            if len(row) != 3 or row[0] not in _NUMBERS or row[2] not in _USAGES:
                yield BadSample(key=key, reason="its line is not an emotion 0 to 6, pixels and a usage")
                continue
            yield Sample(
                key=key,
                picture=partial(_picture, row[1]),
                labels={"expression": _NUMBERS[row[0]]},
                split=_USAGES[row[2]],
            )


def _picture(text: str) -> NDArray[np.uint8]:
    """RGB [48, 48, 3] from numbers in a text; ValueError for other text."""
    numbers = np.array(text.split(), np.int64)
    if numbers.size != _SIDE * _SIDE or numbers.min() < 0 or numbers.max() > 255:
        raise ValueError(f"it is not {_SIDE * _SIDE} numbers of 0 to 255")
    return np.repeat(numbers.astype(np.uint8).reshape(_SIDE, _SIDE, 1), 3, axis=2)


def _folders(source: Path) -> Iterator[Sample | BadSample]:
    if not (source / "train").is_dir():
        raise LayoutError(f"FER2013 is missing: fer2013.csv, or a folder train, belongs in {source}")
    validation = "validation" if (source / "test").is_dir() else "test"
    for part, split in (("train", "train"), ("validation", validation), ("test", "test")):
        folders = sorted(path for path in (source / part).glob("*") if path.is_dir())
        unknown = [folder.name for folder in folders if folder.name not in _FOLDERS]
        if unknown:
            raise LayoutError(
                f"{source / part / unknown[0]} is no expression: {', '.join(_FOLDERS)} belong there"
            )
        for folder in folders:
            for path in sorted(folder.iterdir()):
                yield Sample(
                    key=path.relative_to(source).as_posix(),
                    picture=path,
                    labels={"expression": _FOLDERS[folder.name]},
                    split=split,
                )


READER = Reader(
    name="fer2013",
    title="FER2013 (Goodfellow et al., ICONIP 2013)",
    licence="research, terms unclear",
    page="https://www.kaggle.com/c/"
    "challenges-in-representation-learning-facial-expression-recognition-challenge: a download",
    tasks=("expression",),
    tree="""\
fer2013.csv                 emotion,pixels,Usage
or
train/angry/0.jpg
validation/angry/1.jpg      or test/""",
    expected=Expected(counts={"all": 35887}),
    read=read,
)
