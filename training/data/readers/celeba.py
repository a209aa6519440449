"""CelebA, aligned and cropped: forty attributes, and the identities where the release has them.

Liu, Luo, Wang, Tang, Deep Learning Face Attributes in the Wild, ICCV 2015. Q-Face, section 4.2. The
official split is that of list_eval_partition.txt; without it the last 1,500 pictures are for testing.

CelebAMask-HQ's pictures are CelebA's. Without the partition list here, or without
CelebA-HQ-to-CelebA-mapping.txt there, the two are split independently of each other, and a face may be in
the training part of one and in the test part of the other: training on both needs both files.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.source_files import find_path, find_path_or_none, read_lines
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

_HELD_OUT = 1500
_SPLITS = {"0": "train", "1": "validation", "2": "test"}
_VALUES = {"1": 1.0, "-1": 0.0}


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture of the attributes' list, in its order."""
    table = find_path(
        source, "Anno/list_attr_celeba.txt", "list_attr_celeba.txt", what="CelebA's list of attributes"
    )
    pictures = find_path(
        source, "Img/img_align_celeba", "img_align_celeba", what="CelebA's folder of aligned pictures"
    )
    lines = read_lines(table)
    names = lines[1].split() if len(lines) > 1 else []
    absent = [label for label in CATALOGUE["attributes"].labels if label not in names]
    if absent:
        raise LayoutError(
            f"{table} does not name {', '.join(absent[:3])} in its second line: CelebA's belongs there"
        )
    splits = _column(find_path_or_none(source, "Eval/list_eval_partition.txt", "list_eval_partition.txt"))
    persons = _column(find_path_or_none(source, "Anno/identity_CelebA.txt", "identity_CelebA.txt"))
    rows = lines[2:]
    for i, row in enumerate(rows):
        name, *values = row.split()
        split = "test" if i >= len(rows) - _HELD_OUT else "train"
        if splits:
            split = _SPLITS.get(splits.get(name, ""), "")
        if len(values) != len(names) or not set(values) <= _VALUES.keys() or not split:
            reason = f"its line in {table.name} is not {len(names)} times 1 or -1"
            yield BadSample(key=name, reason=reason if split else "list_eval_partition.txt does not name it")
            continue
        by_name = dict(zip(names, values, strict=True))
        yield Sample(
            key=(pictures / name).relative_to(source).as_posix(),
            picture=pictures / name,
            labels={
                "attributes": {label: _VALUES[by_name[label]] for label in CATALOGUE["attributes"].labels}
            },
            split=split,
            person=persons.get(name, ""),
        )


def _column(path: Path | None) -> dict[str, str]:
    """The words of a list of lines `000001.jpg word`, by picture; empty without a list."""
    if path is None:
        return {}
    rows = [line.split() for line in read_lines(path)]
    if any(len(row) != 2 for row in rows):
        raise LayoutError(f"{path} is not a list of lines `000001.jpg 1`: CelebA's belongs there")
    return dict(rows)


READER = Reader(
    name="celeba",
    title="CelebA, aligned and cropped (Liu et al., ICCV 2015)",
    licence="non-commercial research",
    page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html: downloads for non-commercial research",
    tasks=("attributes",),
    tree="""\
Anno/list_attr_celeba.txt
Anno/identity_CelebA.txt       not needed: who it is
Eval/list_eval_partition.txt   the official split; who also takes CelebAMask-HQ needs it
Img/img_align_celeba/000001.jpg
(all of them may lie directly in the folder too)""",
    expected=Expected(counts={"train": 162770, "validation": 19867, "test": 19962}),
    read=read,
)
