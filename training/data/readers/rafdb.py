"""RAF-DB, the basic part: seven expressions, with gender, an age group and five points by hand.

Li, Deng, Du, Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition
in the Wild, CVPR 2017. Q-Face, section 4.2: 12,271 pictures for training, 3,068 for testing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path, find_path_or_none, read_lines
from training.data.sample import BadSample, Sample

_EXPRESSIONS = label_map(
    "expression",
    {
        "1": "surprise",
        "2": "fear",
        "3": "disgust",
        "4": "happiness",
        "5": "sadness",
        "6": "anger",
        "7": "neutral",
    },
)
_GENDERS = label_map("gender", {"0": "male", "1": "female"})
_UNSURE_GENDER = "2"
_AGES = {"0": [0, 3], "1": [4, 19], "2": [20, 39], "3": [40, 69], "4": [70, 100]}  # years
_SPLITS = {"train": "train", "test": "test"}  # by how a picture's name begins


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture of the partition list, in its order.

    The original photos are read where their manual annotation exists too, as it locates the labelled
    face; else the aligned ones (100 x 100).
    """
    root = next((place for place in (source, source / "basic") if (place / "EmoLabel").is_dir()), source)
    table = find_path(
        root,
        "EmoLabel/list_patition_label.txt",
        "EmoLabel/list_partition_label.txt",
        what="RAF-DB's label list",
    )
    aligned = find_path_or_none(root, "Image/aligned/aligned", "Image/aligned")
    original = find_path_or_none(root, "Image/original/original", "Image/original")
    annotation = find_path_or_none(root, "Annotation/manual/manual", "Annotation/manual")
    if aligned is None and original is None:
        raise LayoutError(
            f"RAF-DB's pictures are missing: they belong in {root / 'Image/aligned'} (or Image/original)"
        )
    photos = original if original is not None and (annotation is not None or aligned is None) else None
    for line in read_lines(table):
        name, _, code = line.strip().partition(" ")
        stem = name.rsplit(".", 1)[0]
        split = _SPLITS.get(stem.split("_")[0])
        if split is None or code.strip() not in _EXPRESSIONS:
            yield BadSample(
                key=name, reason=f"its line in {table.name} is not `train_00001.jpg 1..7`: {line!r}"
            )
            continue
        labels: dict[str, Any] = {"expression": _EXPRESSIONS[code.strip()]}
        landmarks = None
        if annotation is not None:
            try:
                more, points = _annotation(annotation / f"{stem}_manu_attri.txt")
            except ValueError as error:
                yield BadSample(key=name, reason=str(error))
                continue
            labels |= more
            landmarks = points if photos is not None else None  # they lie in the original photo
        if photos is not None:
            picture = photos / name
        else:
            assert aligned is not None
            picture = aligned / f"{stem}_aligned.jpg"
        yield Sample(
            key=picture.relative_to(source).as_posix(),
            picture=picture,
            labels=labels,
            split=split,
            landmarks=landmarks,
        )


def _annotation(path: Path) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Gender and age where they are known, and the five points [5, 2]; ValueError for a malformed file.

    Five lines `x y` (eyes, nose, corners of the mouth), then gender, race, age group. Race has three
    values (Caucasian, African-American, Asian), which are not the catalogue's seven: it is left out.
    """
    try:
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        raise ValueError(f"its annotation {path.name} is missing") from None
    try:
        points = np.array(rows[:5], dtype=np.float64).reshape(5, 2)
        gender, _, age = (row[0] for row in rows[5:8])
        labels: dict[str, Any] = {"age": _AGES[age]}
        if gender != _UNSURE_GENDER:
            labels["gender"] = _GENDERS[gender]
    except (ValueError, KeyError, IndexError):
        raise ValueError(f"its annotation {path.name} is not five points, gender, race, age") from None
    # The order of a pair follows from its positions, whichever of the two the annotator clicked first.
    for i, j in ((0, 1), (3, 4)):
        if points[i, 0] > points[j, 0]:
            points[[i, j]] = points[[j, i]]
    return labels, points


READER = Reader(
    name="rafdb",
    title="RAF-DB, basic part (Li et al., CVPR 2017)",
    licence="non-commercial research",
    page="http://www.whdeng.cn/RAF/model1.html: "
    "its authors give a password to researchers who write from their university's address",
    tasks=("expression", "gender", "age"),
    tree="""\
basic/
  EmoLabel/list_patition_label.txt        train_00001.jpg 5
  Image/aligned/train_00001_aligned.jpg
  Image/original/train_00001.jpg          read instead of aligned/ where Annotation/manual is there
  Annotation/manual/train_00001_manu_attri.txt""",
    expected=Expected(counts={"train": 12271, "test": 3068}),
    read=read,
)
