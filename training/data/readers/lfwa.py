"""LFWA: CelebA's forty attributes on Labeled Faces in the Wild.

Liu, Luo, Wang, Tang, Deep Learning Face Attributes in the Wild, ICCV 2015: 13,143 pictures, half of the
people for training. Where there is only the older table of 73 attributes (Kumar et al., Attribute and
Simile Classifiers for Face Verification, ICCV 2009; a program's scores, their sign is the label), the
attributes that both have are read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import normalized
from training.data.reader_tools.source_files import find_path, find_path_or_none, read_lines
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

_LABELS = dict(zip(normalized(CATALOGUE["attributes"].labels), CATALOGUE["attributes"].labels, strict=True))
_PICTURES = ("lfw_funneled", "lfw", "lfw-funneled", "lfw-deepfunneled/lfw-deepfunneled", "lfw-deepfunneled")
_TRAIN = 0.5


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every row of the attribute table, in its order."""
    folder = find_path(source, *_PICTURES, what="the folder of LFW's pictures")
    table = find_path_or_none(source, "lfw_att_40.mat", "LFWA+/lfw_att_40.mat")
    if table is None:
        text = find_path_or_none(source, "lfw_attributes.txt")
        if text is None:
            raise LayoutError(
                f"LFWA's attributes are missing: they belong at {source / 'lfw_att_40.mat'} with"
                " indices_train_test.mat beside it (or lfw_attributes.txt)"
            )
        yield from _read_text(source, folder=folder, table=text)
        return
    indices = find_path(
        table.parent, "indices_train_test.mat", what="LFWA's list of training and test pictures"
    )
    names, attributes, values = _attributes(table)
    splits = {row: split for split in ("train", "test") for row in _rows(indices, f"indices_img_{split}")}
    for row, name in enumerate(names):
        path = folder / name.replace("\\", "/")
        if row not in splits:
            yield BadSample(
                key=name, reason=f"{indices.name} has it neither among training nor test pictures"
            )
        elif not np.isin(values[row], (0, 1)).all():
            yield BadSample(key=name, reason=f"its attributes in {table.name} are not 0 or 1")
        else:
            labels = {
                attribute: float(value) for attribute, value in zip(attributes, values[row], strict=True)
            }
            yield Sample(
                key=path.relative_to(source).as_posix(),
                picture=path,
                labels={"attributes": labels},
                split=splits[row],
                person=path.parent.name,
            )


def _read_text(source: Path, *, folder: Path, table: Path) -> Iterator[Sample | BadSample]:
    """`lfw_attributes.txt`: two lines of comment, the second with the names, then tabs between fields."""
    lines = read_lines(table)
    header = next((line for line in lines if line.startswith("#\t")), "")
    columns = normalized(header.removeprefix("#\t").split("\t"))
    kept = [(i, _LABELS[column]) for i, column in enumerate(columns) if column in _LABELS]
    if columns[:2] != ["person", "imagenum"] or not kept:
        raise LayoutError(f"{table} has no line `# person imagenum Male ...`: fetch it again")
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    splits = _people(source, {"_".join(row[0].split()) for row in rows})
    for row in rows:
        person = "_".join(row[0].split())
        try:
            name = f"{person}/{person}_{int(row[1]):04d}.jpg"
            labels = {label: float(float(row[i]) > 0) for i, label in kept}
        except (ValueError, IndexError):
            yield BadSample(key=person, reason=f"its line in {table.name} can't be read")
            continue
        path = folder / name
        if person not in splits:
            yield BadSample(key=name, reason="peopleDevTrain.txt and peopleDevTest.txt don't have the person")
            continue
        yield Sample(
            key=path.relative_to(source).as_posix(),
            picture=path,
            labels={"attributes": labels},
            split=splits[person],
            person=person,
        )


def _people(source: Path, people: set[str]) -> dict[str, str]:
    """Split by person: LFW's official lists of people, or half of them at random."""
    lists = {"train": source / "peopleDevTrain.txt", "test": source / "peopleDevTest.txt"}
    if all(path.exists() for path in lists.values()):
        # The first line is the number of people; then a name and how many pictures there are.
        return {line.split()[0]: split for split, path in lists.items() for line in read_lines(path)[1:]}
    train = random_subset(people, fraction=_TRAIN)
    return {person: "train" if person in train else "test" for person in people}


def _attributes(table: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Pictures' names [N], the catalogue's attributes [K], values [N, K]."""
    content = _mat(table)
    try:
        names, words = _texts(content["name"]), normalized(_texts(content["AttrName"]))
        values = np.asarray(content["label"], dtype=np.float64)
    except KeyError as error:
        raise LayoutError(f"{table} has no variable {error}: fetch it again") from None
    unknown = sorted(set(words) - set(_LABELS))
    if unknown or values.shape != (len(names), len(words)):
        raise LayoutError(
            f"{table} has {values.shape} values of {len(words)} attributes for {len(names)} pictures"
            f"{', and unknown attributes ' + ', '.join(unknown) if unknown else ''}: fetch it again"
        )
    return names, [_LABELS[word] for word in words], values


def _rows(path: Path, variable: str) -> list[int]:
    """A list of pictures, counted from 0."""
    content = _mat(path)
    if variable not in content:
        raise LayoutError(f"{path} has no variable {variable}: fetch it again")
    return [int(row) - 1 for row in np.ravel(np.asarray(content[variable]))]


def _mat(path: Path) -> dict[str, Any]:
    """A .mat file's variables; MATLAB 7.3's (the release) have texts where an older version has cells."""
    try:
        if not h5py.is_hdf5(path):
            return dict(scipy.io.loadmat(path))
        with h5py.File(path) as file:
            # MATLAB stores arrays by columns, so that they read transposed here.
            return {name: _value(file, file[name]) for name in file if not name.startswith("#")}
    except (OSError, ValueError, scipy.io.matlab.MatReadError) as error:
        raise LayoutError(f"{path} is no .mat file ({error}): fetch it again") from None


def _value(file: h5py.File, entry: h5py.Dataset) -> Any:
    if h5py.check_ref_dtype(entry.dtype) is None:
        return entry[()].T
    return ["".join(chr(code) for code in np.ravel(file[reference][()])) for reference in np.ravel(entry[()])]


def _texts(cells: Any) -> list[str]:
    """Texts of a cell array, which an older .mat file gives as nested arrays."""
    return [str(np.ravel(cell)[0]) for cell in np.ravel(np.asarray(cells, dtype=object))]


READER = Reader(
    name="lfwa",
    title="LFWA (Liu et al., ICCV 2015)",
    licence="non-commercial research",
    page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, which names LFWA's download",
    tasks=("attributes",),
    tree="""\
lfw_funneled/Aaron_Eckhart/Aaron_Eckhart_0001.jpg     or lfw/, lfw-deepfunneled/
lfw_att_40.mat                                        AttrName, label, name
indices_train_test.mat                                the official training and test pictures
(or lfw_attributes.txt, with peopleDevTrain.txt and peopleDevTest.txt)""",
    expected=Expected(counts={"all": 13143}),
    read=read,
)
