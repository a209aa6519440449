"""FER+: FER2013's pictures, each with the votes of ten annotators instead of FER2013's one label.

Barsoum, Zhang, Canton Ferrer, Zhang, Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution, ICMI 2016. The paper's rules are followed: a single vote is an outlier
and does not count, and a picture to test on needs a label with more than half of the votes that are left.
To train on, one needs more than half of the votes in the catalogue's seven expressions together: what people
disagree about is taught as such. Pictures whose majority is contempt, unknown or not a face are left out,
as the catalogue has no such expression.

A label is the distribution of the votes over the seven expressions. FER2013Valid is the contest's
PublicTest, FER2013Test its PrivateTest; without the latter, FER2013Valid is for testing.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import find_path, find_path_or_none, picture_beside, read_rows
from training.data.sample import BadSample, Sample

_TABLE = "fer2013new.csv"
_COLUMNS = ["Usage", "Image name", "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"]
_OTHERS = ["contempt", "unknown", "NF"]
_EXPRESSIONS = list(label_map("expression", {name: name for name in _COLUMNS[2:]}).values())
# Usage -> folder, split.
_PARTS = {
    "Training": ("FER2013Train", "train"),
    "PublicTest": ("FER2013Valid", "validation"),
    "PrivateTest": ("FER2013Test", "test"),
}


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture of the table with a majority for one of the seven expressions, in the table's order.

    A row without a name (FER2013's removed pictures) or of a folder that is missing is passed over.
    """
    table = find_path(source, _TABLE, what="the table of FER+'s votes")
    folders = {usage: find_path_or_none(source, name, f"data/{name}") for usage, (name, _) in _PARTS.items()}
    if not any(folders.values()):
        names = ", ".join(name for name, _ in _PARTS.values())
        raise LayoutError(f"FER+'s pictures are missing: folders {names} belong in {source}")
    header, *rows = list(read_rows(table)) or [[]]
    if header != [*_COLUMNS, *_OTHERS]:
        raise LayoutError(f"{table} does not begin with {','.join([*_COLUMNS, *_OTHERS])}: fetch it again")
    for number, (usage, name, *cells) in enumerate(rows, start=2):
        folder = folders.get(usage)
        if not name or (usage in folders and folder is None):
            continue
        if folder is None or len(cells) != len(header) - 2 or not all(map(str.isdecimal, cells)):
            yield BadSample(key=f"{table.name}:{number}", reason="its line is not a usage, a name and votes")
            continue
        split = _PARTS[usage][1]
        expression = distribution([int(cell) for cell in cells], majority=split != "train")
        if expression is None:
            continue
        yield Sample(
            key=f"{folder.name}/{Path(name).stem}",
            picture=picture_beside(folder / name) or folder / name,
            labels={"expression": expression},
            split="test" if split == "validation" and folders["PrivateTest"] is None else split,
        )


def distribution(votes: list[int], *, majority: bool = True) -> dict[str, float] | None:
    """Probabilities of the seven expressions from votes in the table's order.

    None without a majority for one of them, or with `majority` false for the seven together.
    """
    counted = [count if count > 1 else 0 for count in votes]
    known = dict(zip(_EXPRESSIONS, counted, strict=False))
    if 2 * (max(known.values()) if majority else sum(known.values())) <= sum(counted):
        return None
    return {label: count / sum(known.values()) for label, count in known.items() if count}


READER = Reader(
    name="ferplus",
    title="FER+ (Barsoum et al., ICMI 2016), on FER2013's pictures",
    licence="labels MIT; pictures: research, terms unclear",
    page="https://github.com/microsoft/FERPlus: the labels; the pictures are FER2013's",
    tasks=("expression",),
    tree="""\
fer2013new.csv                  Usage, Image name, and ten columns of votes
FER2013Train/fer0000000.png     (or .webp, .jpg)
FER2013Valid/fer0028638.png
FER2013Test/fer0032220.png""",
    expected=Expected(counts={"train": 28198}, files=(_TABLE,)),
    read=read,
)
