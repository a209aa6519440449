"""UTKFace, aligned and cropped: age, gender and race in the file's name.

Zhang, Song, Qi, Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR 2017. It has no
official split: 1,500 pictures, at most half, are held out for testing, by their names. Its five races are
not the catalogue's seven, and are a task of their own.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample

_HELD_OUT = 1500
_GENDERS = label_map("gender", {"0": "male", "1": "female"})
_RACES = label_map("race_utkface", {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "Others"})


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture, in the order of the names."""
    folder = find_path(source, "UTKFace", what="UTKFace's folder of pictures")
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    held_out = random_subset([path.name for path in paths], count=min(_HELD_OUT, len(paths) // 2))
    for path in paths:
        key = path.relative_to(source).as_posix()
        age, *rest = path.name.split("_")
        gender, race = (_GENDERS.get(rest[0]), _RACES.get(rest[1])) if len(rest) == 3 else (None, None)
        if not age.isdecimal() or gender is None or race is None:
            yield BadSample(key=key, reason="its name is not age_gender_race_date")
            continue
        labels = {"age": [int(age), int(age)], "gender": gender, "race_utkface": race}
        split = "test" if path.name in held_out else "train"
        yield Sample(key=key, picture=path, labels=labels, split=split)


READER = Reader(
    name="utkface",
    title="UTKFace, aligned and cropped (Zhang, Song, Qi, CVPR 2017)",
    licence="non-commercial research",
    page="https://susanqq.github.io/UTKFace/: downloads for non-commercial research",
    tasks=("age", "gender", "race_utkface"),
    tree="UTKFace/100_1_0_20170110183726390.jpg.chip.jpg    age_gender_race_date",
    expected=Expected(counts={"all": 23708}, files=("UTKFace",)),
    read=read,
)
