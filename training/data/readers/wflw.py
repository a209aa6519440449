"""WFLW: 98 points and six attributes in faces of WIDER FACE.

Wu, Qian, Yang, Wang, Cai, Zhou, Look at Boundary: A Boundary-Aware Face Alignment Algorithm, CVPR 2018:
7,500 faces for training, 2,500 for testing. Of the 98 points 68 lie where iBUG's do.
"""

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, Reader
from training.data.reader_tools.point_files import points_label
from training.data.reader_tools.source_files import find_path, read_lines
from training.data.sample import BadSample, Sample

# The WFLW point at the place of each of iBUG's 68. WFLW's jaw has a point between every two of iBUG's,
# a brow has its lower edge too, an eye three points on a lid; 96 and 97 are the pupils.
WFLW_OF_68 = (
    *range(0, 33, 2),
    *range(33, 38),
    *range(42, 47),
    *range(51, 60),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),
)

# The six flags of a line in their order, by the names of the official lists of test subsets.
_FLAGS = ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")

_COORDINATES, _BOX = 2 * 98, 4
_FIELDS = _COORDINATES + _BOX + len(_FLAGS) + 1

_LISTS = {"train": "list_98pt_rect_attr_train.txt", "test": "list_98pt_rect_attr_test.txt"}


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every face of the two lists in their order; a picture stands there once for each of its faces.

    A face's subset names its attributes, joined by commas: "largepose,blur".
    """
    images = find_path(source, "WFLW_images", what="WFLW's folder of pictures")
    for split, name in _LISTS.items():
        path = find_path(
            source,
            f"WFLW_annotations/list_98pt_rect_attr_train_test/{name}",
            f"list_98pt_rect_attr_train_test/{name}",
            what=f"WFLW's {split} list",
        )
        faces: collections.Counter[str] = collections.Counter()
        for number, line in enumerate(read_lines(path), start=1):
            fields = line.split()
            try:
                if len(fields) != _FIELDS:
                    raise ValueError
                points, box, flags = _numbers(fields)
            except ValueError:
                reason = f"not 98 points, a box, six flags of 0 or 1 and a picture, but {len(fields)} words"
                yield BadSample(key=f"{name}, line {number}", reason=reason)
                continue
            picture = fields[-1]
            faces[picture] += 1
            x0, y0, x1, y1 = box.tolist()
            yield Sample(
                # A picture has other faces in the other list too.
                key=f"{picture}#{split}{faces[picture]}",
                picture=images / picture,
                labels={"landmarks": points_label(points[list(WFLW_OF_68)])},
                split=split,
                subset=",".join(flag for flag, on in zip(_FLAGS, flags, strict=True) if on),
                box=(x0, y0, x1, y1),
            )


def _numbers(fields: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[bool]]:
    """Points [98, 2], the box [4] and the six flags of a line."""
    numbers = np.array(fields[:-1], dtype=np.float64)
    flags = numbers[-len(_FLAGS) :]
    if not np.isfinite(numbers).all() or not np.isin(flags, (0.0, 1.0)).all():
        raise ValueError
    points = numbers[:_COORDINATES].reshape(98, 2)
    return points, numbers[_COORDINATES : _COORDINATES + _BOX], (flags == 1.0).tolist()


READER = Reader(
    name="wflw",
    title="WFLW (Wu et al., CVPR 2018)",
    licence="research only",
    page="https://wywu.github.io/projects/LAB/WFLW.html: downloads for research",
    tasks=("landmarks",),
    tree="""\
WFLW_images/0--Parade/0_Parade_marchingband_1_116.jpg
WFLW_annotations/list_98pt_rect_attr_train_test/
  list_98pt_rect_attr_train.txt    98 points, box, 6 flags, picture: 207 words a line
  list_98pt_rect_attr_test.txt""",
    expected=Expected(counts={"train": 7500, "test": 2500}),
    read=read,
    deviations={"landmarks": "68 of its 98 points"},
)
