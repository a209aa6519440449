"""LaPa: masks of 11 classes and 106 points.

Liu, Shi, Shen, Si, Wang, Mei, A New Dataset and Boundary-Attention Semantic Segmentation for Face
Parsing, AAAI 2020. The masks' class ids are the catalogue's own: LaPa's "left" is the picture's left,
which is the subject's right, as in the catalogue.

Its pictures are MegaFace's and, about half of those for training, 300W-LP's (whose names they keep),
among them some of 300-W's own test part: to test on 300-W, train on the subset megaface alone.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.point_files import points_label
from training.data.reader_tools.source_files import find_path
from training.data.sample import BadSample, Sample

# The point, or the two whose mean lies, at the place of each of iBUG's 68: the mapping that LaPa's
# makers publish for this markup (JD-landmark) in FaceX-Zoo. The jaw starts higher than iBUG's and its
# points lie denser; the rest is a choice among the same places.
LAPA_OF_68: tuple[tuple[int, ...], ...] = (
    *((1, 2), (3, 4), (5, 6), (7,), (9,), (11,), (12, 13), (14,), (16,)),
    *((18,), (19, 20), (21,), (23,), (25,), (26, 27), (28, 29), (30, 31)),
    *((i,) for i in range(33, 38)),
    *((i,) for i in range(42, 47)),
    *((i,) for i in range(51, 55)),
    *((i,) for i in range(58, 63)),
    *((i,) for i in (66, 67, 69, 70, 71, 73)),
    *((i,) for i in (75, 76, 78, 79, 80, 82)),
    *((i,) for i in range(84, 104)),
)

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_FROM_300W_LP = ("AFW", "HELEN", "IBUG", "LFPW")


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture of the three folders in the order of the names."""
    root = next((place for place in (source, source / "LaPa") if (place / "train").is_dir()), source)
    present = [folder for folder in _SPLITS if (root / folder).is_dir()]
    if not present:
        raise LayoutError(f"LaPa's pictures are missing: folders {', '.join(_SPLITS)} belong in {source}")
    for folder in present:
        images, masks, landmarks = (
            find_path(root / folder, part, what=f"LaPa's {part} of {folder}")
            for part in ("images", "labels", "landmarks")
        )
        for picture in sorted(images.glob("*.jpg")):
            key = picture.relative_to(source).as_posix()
            mask = masks / f"{picture.stem}.png"
            if not mask.exists():
                yield BadSample(key=key, reason=f"its mask {folder}/labels/{mask.name} is missing")
                continue
            try:
                points = _points(landmarks / f"{picture.stem}.txt")
            except ValueError as error:
                yield BadSample(key=key, reason=str(error))
                continue
            origin = picture.name.split("_")[0]
            yield Sample(
                key=key,
                picture=picture,
                labels={"landmarks": points_label(points)},
                split=_SPLITS[folder],
                subset=origin.lower() if origin in _FROM_300W_LP else "megaface",
                mask=mask,
                mask_task="parsing_lapa",
            )


def _points(path: Path) -> NDArray[np.float64]:
    """iBUG's 68 points [68, 2] of a file of 106; Raises ValueError with what is wrong with it."""
    try:
        numbers = np.array(path.read_text(encoding="ascii").split(), dtype=np.float64)
    except FileNotFoundError:
        raise ValueError(f"its landmarks {path.name} are missing") from None
    except ValueError:
        raise ValueError(f"its landmarks {path.name} are not numbers") from None
    if len(numbers) != 1 + 2 * 106 or numbers[0] != 106 or not np.isfinite(numbers).all():
        raise ValueError(f"its landmarks {path.name} are not `106` and 106 points")
    all_106 = numbers[1:].reshape(106, 2)
    return np.stack([all_106[list(indices)].mean(axis=0) for indices in LAPA_OF_68])


READER = Reader(
    name="lapa",
    title="LaPa (Liu et al., AAAI 2020)",
    licence="non-commercial research",
    page="https://github.com/jd-opensource/lapa-dataset: a download for non-commercial research",
    tasks=("parsing_lapa", "landmarks"),
    tree="""\
train/, val/, test/, each with
  images/10009865324_0.jpg
  labels/10009865324_0.png       class ids 0 to 10
  landmarks/10009865324_0.txt    106, then 106 lines `x y`""",
    # Sources give 18,168 or 18,176 for training: either passes.
    expected=Expected(counts={"train": 18168, "validation": 2000, "test": 2000}),
    read=read,
    deviations={"landmarks": "68 points made of its 106"},
)
