"""FairFace: age in nine bins, gender and seven races.

Kärkkäinen and Joo, FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age, WACV 2021. The
official validation list is for testing; where it is missing, 2,000 pictures of the training list are
held out for that, by their names.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path, find_path_or_none
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

_HELD_OUT = 2000
_COLUMNS = ("file", "age", "gender", "race")
_GENDERS = label_map("gender", {"Male": "male", "Female": "female"})
# "East Asian" in the lists.
_RACES = {label.replace("_", " ").lower(): label for label in CATALOGUE["race"].labels}
_AGES = {
    f"{low}-{high}": [low, high]
    for low, high in ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69))
} | {"more than 70": [70, 100]}


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture of the lists, in their order: training first."""
    training = _rows(find_path(source, "fairface_label_train.csv", what="FairFace's training list"))
    testing_list = find_path_or_none(source, "fairface_label_val.csv")
    held_out = set() if testing_list else random_subset([row["file"] for row in training], count=_HELD_OUT)
    for row in training:
        yield _sample(source, row, split="test" if row["file"] in held_out else "train")
    for row in _rows(testing_list) if testing_list else ():
        yield _sample(source, row, split="test")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path} is no table ({error}): fetch it again") from None
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise LayoutError(f"{path} has no column {', '.join(missing)}: FairFace's list belongs there")
    return rows


def _sample(source: Path, row: dict[str, str], *, split: str) -> Sample | BadSample:
    race = _RACES.get(row["race"].replace("_", " ").lower())
    age, gender = _AGES.get(row["age"]), _GENDERS.get(row["gender"])
    if age is None or gender is None or race is None:
        reason = f"its age, gender and race are {row['age']!r}, {row['gender']!r} and {row['race']!r}"
        return BadSample(key=row["file"], reason=reason)
    labels = {"age": age, "gender": gender, "race": race}
    return Sample(key=row["file"], picture=source / row["file"], labels=labels, split=split)


READER = Reader(
    name="fairface",
    title="FairFace (Kärkkäinen and Joo, WACV 2021)",
    licence="CC BY 4.0",
    page="https://github.com/joojs/fairface: downloads",
    tasks=("age", "gender", "race"),
    tree="""\
fairface_label_train.csv    file,age,gender,race,service_test
fairface_label_val.csv
train/1.jpg
val/1.jpg""",
    expected=Expected(counts={"train": 86744, "test": 10954}, files=("fairface_label_train.csv",)),
    read=read,
)
