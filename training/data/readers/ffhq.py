"""Flickr-Faces-HQ, with the age groups and genders of FFHQ-Aging where they are there.

Karras, Laine, Aila, A Style-Based Generator Architecture for GANs, CVPR 2019: 70,000 pictures, the
first 60,000 for training. Or-El et al., Lifespan Age Transformation Synthesis, ECCV 2020: the labels.
The head poses of FFHQ-Aging come from a detector whose signs are documented nowhere: left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path, find_path_or_none, read_rows
from training.data.sample import BadSample, Sample

_FIRST_OF_TEST = 60000  # the official "validation" part begins here; results are published on it
_GENDERS = label_map("gender", {"male": "male", "female": "female"})
# A label on which fewer of the annotators agreed is left out.
_AGREED = 0.5


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every numbered picture, in the order of the numbers; the large ones where both sizes are there."""
    folder = find_path(source, "images1024x1024", "thumbnails128x128", what="the folder of FFHQ's pictures")
    table = find_path_or_none(source, "ffhq_aging_labels.csv")
    labels = {} if table is None else _labels(table)
    # Folders of a thousand in the newer release, one flat folder in the first.
    paths = sorted([*folder.glob("*.png"), *folder.glob("*/*.png")], key=lambda path: (path.stem, str(path)))
    if not paths:
        raise LayoutError(f"FFHQ's pictures are missing: they belong at {folder / '00000' / '00000.png'}")
    for path in paths:
        key = path.relative_to(source).as_posix()
        if not path.stem.isdigit():
            yield BadSample(key=key, reason="its name is not a number, as 00000.png")
            continue
        number = int(path.stem)
        entry = labels.get(number, {})
        if isinstance(entry, str):
            yield BadSample(key=key, reason=entry)
            continue
        split = "train" if number < _FIRST_OF_TEST else "test"
        yield Sample(key=key, picture=path, labels=entry, split=split)


def _labels(table: Path) -> Mapping[int, dict[str, Any] | str]:
    """By the picture's number its labels, or a few words on why they can't be read."""
    needed = ("image_number", "age_group", "age_group_confidence", "gender", "gender_confidence")
    entries: dict[int, dict[str, Any] | str] = {}
    rows = read_rows(table)
    header = next(rows, [])
    missing = [name for name in needed if name not in header]
    if missing:
        raise LayoutError(f"{table} has no column {', '.join(missing)}: fetch it again from FFHQ-Aging")
    for cells in rows:
        row = dict(zip(header, cells, strict=False))
        if not row.get("image_number", "").isdigit():
            continue  # no picture can be meant
        try:
            entry: dict[str, Any] | str = _entry(row)
        except (ValueError, KeyError):
            entry = f"its line in {table.name} can't be read"
        entries[int(row["image_number"])] = entry
    return entries


def _entry(row: Mapping[str, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if float(row["age_group_confidence"]) >= _AGREED:
        low, high = row["age_group"].split("-")
        entry["age"] = [int(low), int(high)]
    if float(row["gender_confidence"]) >= _AGREED:
        entry["gender"] = _GENDERS[row["gender"]]
    return entry


READER = Reader(
    name="ffhq",
    title="Flickr-Faces-HQ (Karras et al., CVPR 2019), labels of FFHQ-Aging (Or-El et al., ECCV 2020)",
    licence="CC BY-NC-SA 4.0",
    page="https://github.com/NVlabs/ffhq-dataset: downloads",
    tasks=("age", "gender"),
    tree="""\
images1024x1024/00000/00000.png           or thumbnails128x128/00000/00000.png
ffhq_aging_labels.csv                     optional: age groups and genders of FFHQ-Aging""",
    expected=Expected(counts={"train": 60000, "test": 10000}),
    read=read,
)
