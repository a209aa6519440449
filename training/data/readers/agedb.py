"""AgeDB: age, gender and identity in the file's name.

Moschoglou et al., AgeDB: the First Manually Collected, In-the-Wild Age Database, CVPRW 2017: 16,488
pictures of 568 people. Q-Face, section 4.5: 80 % for training, at random. The same people are then on
both sides; `agedb_by_person` splits the people instead, which is harder and more telling.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample

_NAME = re.compile(r"(?P<number>\d+)_(?P<person>.+)_(?P<age>\d+)_(?P<gender>[a-zA-Z])")
_GENDERS = label_map("gender", {"m": "male", "f": "female"})
_OLDEST = 120  # years
_TRAIN = 0.8


def read(source: Path, *, by_person: bool) -> Iterator[Sample | BadSample]:
    """Every `ID_Name_age_gender.jpg` below `source`, in the order of the IDs."""
    paths = [path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")]
    if not paths:
        raise LayoutError(f"AgeDB's pictures are missing: they belong at {source / '0_MariaCallas_35_f.jpg'}")
    found = sorted(((path, _NAME.fullmatch(path.stem)) for path in paths), key=_order)
    good = {path: match for path, match in found if match is not None}
    # Splits are drawn from the names alone, so that it does not matter in which folder the set lies.
    units = {match["person"] if by_person else path.name for path, match in good.items()}
    train = random_subset(units, fraction=_TRAIN)
    for path, match in found:
        key = path.relative_to(source).as_posix()
        if match is None:
            yield BadSample(key=key, reason="its name is not ID_Name_age_gender")
            continue
        age, gender = int(match["age"]), _GENDERS.get(match["gender"].lower())
        if gender is None or age > _OLDEST:
            yield BadSample(
                key=key, reason=f"its name says an age over {_OLDEST} or a gender other than m, f"
            )
            continue
        unit = match["person"] if by_person else path.name
        yield Sample(
            key=key,
            picture=path,
            labels={"age": [age, age], "gender": gender},
            split="train" if unit in train else "test",
            person=match["person"],
        )


def _order(item: tuple[Path, re.Match[str] | None]) -> tuple[float, str]:
    path, match = item
    return (float("inf") if match is None else int(match["number"]), path.as_posix())


_TITLE = "AgeDB (Moschoglou et al., CVPRW 2017)"
_TREE = """\
AgeDB/
  0_MariaCallas_35_f.jpg                  ID_Name_age_gender.jpg, in any folders below --source"""

READERS = (
    Reader(
        name="agedb",
        title=_TITLE,
        licence="non-commercial research",
        page="https://ibug.doc.ic.ac.uk/resources/agedb/: its makers give the archive's password by e-mail",
        tasks=("age", "gender"),
        tree=_TREE,
        expected=Expected(counts={"train": 13190, "test": 3298}),
        read=functools.partial(read, by_person=False),
    ),
    Reader(
        name="agedb_by_person",
        title=f"{_TITLE}, split by person",
        licence="non-commercial research",
        page="https://ibug.doc.ic.ac.uk/resources/agedb/: its makers give the archive's password by e-mail",
        tasks=("age", "gender"),
        tree=_TREE,
        expected=Expected(counts={"all": 16488}),
        read=functools.partial(read, by_person=True),
    ),
)
