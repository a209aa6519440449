"""CelebAMask-HQ: masks of 19 classes over 30,000 pictures of CelebA-HQ, and CelebA's attributes.

Lee, Liu, Wu, Luo, MaskGAN: Towards Diverse and Interactive Facial Image Manipulation, CVPR 2020. Two
forms are read: the official one, a binary mask a part, merged here in the makers' order (g_mask.py: a
later part lies over an earlier one), and the merged one, a PNG of class ids a picture.

The split is CelebA's own (24,183 / 2,993 / 2,824), which follows from a picture's number in CelebA;
without that file, the last eighth of the pictures, in the order of their names, is for
testing. Then, or where CelebA itself was prepared without its list_eval_partition.txt, the two sets are
split independently of each other, and a face may be in the training part of one and in the test part of
the other: training on both needs both files.

"Left" is the subject's left, on the picture's right. Some copies hold pictures that were mirrored
together with their masks: there the sides of a mask change places, and are the subject's again.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.image.containers import read_container
from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.label_names import label_map
from training.data.reader_tools.source_files import PICTURE_SUFFIXES, find_path_or_none, read_lines
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

_PARSING = CATALOGUE["parsing"]

# The parts by the ends of their files' names, in the makers' order.
_PARTS = label_map(
    "parsing",
    {
        "skin": "skin",
        "nose": "nose",
        "eye_g": "glasses",
        "l_eye": "left_eye",
        "r_eye": "right_eye",
        "l_brow": "left_brow",
        "r_brow": "right_brow",
        "l_ear": "left_ear",
        "r_ear": "right_ear",
        "mouth": "mouth",
        "u_lip": "upper_lip",
        "l_lip": "lower_lip",
        "hair": "hair",
        "hat": "hat",
        "ear_r": "earring",
        "neck_l": "necklace",
        "neck": "neck",
        "cloth": "cloth",
    },
)
_PER_FOLDER = 2000  # pictures whose parts are in one folder
# CelebA's numbers (from 1) up to which a picture is for training and for validation.
_LAST_OF_TRAINING, _LAST_OF_VALIDATION = 162770, 182637
_MIN_PIXELS = 10  # of a part, for its position to count


@dataclasses.dataclass(frozen=True)
class Mask:
    """The mask of a picture: calling it gives class ids uint8 [H, W] of the picture's size."""

    picture: Path
    files: tuple[tuple[Path, int], ...]  # parts and their class ids in order, or one file of class ids
    merged: bool  # one file of class ids

    def __call__(self) -> NDArray[np.uint8]:
        """ValueError for a file that is no mask."""
        ids: NDArray[np.uint8] | None = None
        for path, class_id in self.files:
            part = _read_mask(path)
            if ids is None:
                ids = np.zeros_like(part)
            elif ids.shape != part.shape:
                raise ValueError(
                    f"{path.name} is {part.shape}, the other parts {ids.shape}: fetch them again"
                )
            if self.merged:
                ids = part
            else:
                ids[part > 0] = class_id
        assert ids is not None
        size = read_container(self.picture.read_bytes())
        ids = subjects_sides(ids)
        if ids.shape != (size.height, size.width):
            ids = cv2.resize(  # type: ignore[assignment]
                ids, (size.width, size.height), interpolation=cv2.INTER_NEAREST_EXACT
            )
        return ids


def _read_mask(path: Path) -> NDArray[np.uint8]:
    """A mask's numbers [H, W]. Pillow, as OpenCV gives the colours of a palette and not its indices."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except OSError:
        raise ValueError(f"{path} can't be read as a picture: fetch it again") from None
    if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
        pixels = pixels[..., 0]  # the official parts are white on black in three channels
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"{path} is no mask: a PNG of one channel of 8 bits belongs there")
    return pixels.astype(np.uint8)


def subjects_sides(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class ids [H, W] whose left parts lie on the picture's right, as the subject's do.

    Where most pairs of parts that both show lie the other way round, all sides change places.
    """
    votes = 0
    for left, right in _PARSING.mirror:
        x_left, x_right = (np.nonzero(ids == _PARSING.labels.index(name))[1] for name in (left, right))
        if min(len(x_left), len(x_right)) >= _MIN_PIXELS:
            votes += 1 if x_left.mean() < x_right.mean() else -1
    if votes <= 0:
        return ids
    changed = np.arange(256, dtype=np.uint8)
    changed[: len(_PARSING.labels)] = _PARSING.mirrored_order()
    return changed[ids]


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture in the order of the names (of the numbers, in the official form)."""
    root = source / "CelebAMask-HQ" if (source / "CelebAMask-HQ").is_dir() else source
    images, parts = root / "CelebA-HQ-img", root / "CelebAMask-HQ-mask-anno"
    if images.is_dir() and parts.is_dir():
        found = _official(images, parts)
    elif (root / "images").is_dir() and (root / "masks").is_dir():
        found = _merged(root / "images", root / "masks")
    else:
        raise LayoutError(
            f"CelebAMask-HQ's pictures or masks are missing: {images.name} and {parts.name}, or, merged, "
            f"images and masks belong in {root}"
        )
    celeba = _celeba_numbers(root)
    persons = _persons(root)
    attributes = _attributes(root) if celeba else {}
    first_of_testing = len(found) - len(found) // 8
    for i, (picture, files) in enumerate(found.items()):
        key = picture.relative_to(source).as_posix()
        if not files:
            yield BadSample(key=key, reason="it has no mask")
            continue
        number = celeba.get(picture.stem)
        if celeba and number is None:
            yield BadSample(key=key, reason="CelebA-HQ-to-CelebA-mapping.txt does not name it")
            continue
        split = "train" if i < first_of_testing else "test"
        if number is not None:
            split = _split(number)
        labels = {"attributes": attributes[picture.stem]} if picture.stem in attributes else {}
        mask = Mask(picture, files, merged=len(files) == 1 and files[0][1] < 0)
        yield Sample(
            key=key,
            picture=picture,
            labels=labels,
            split=split,
            person=persons.get(number, "") if number is not None else "",
            mask=mask,
        )


_Found = dict[Path, tuple[tuple[Path, int], ...]]


def _official(images: Path, parts: Path) -> _Found:
    """The mask files of every picture, by its number: 14/28000_hair.png and so on."""
    found: _Found = {}
    pictures = {int(path.stem): path for path in images.glob("*.jpg") if path.stem.isdecimal()}
    names: dict[int, set[str]] = {}  # of a folder, read once
    for number, picture in sorted(pictures.items()):
        folder = number // _PER_FOLDER
        if folder not in names:
            names[folder] = {path.name for path in (parts / str(folder)).glob("*.png")}
        found[picture] = tuple(
            (parts / str(folder) / name, _PARSING.labels.index(label))
            for part, label in _PARTS.items()
            if (name := f"{number:05d}_{part}.png") in names[folder]
        )
    return found


def _merged(images: Path, masks: Path) -> _Found:
    """The one mask file of every picture; -1 for its class, as it holds them all."""
    names = {path.name for path in masks.glob("*.png")}
    return {
        picture: ((masks / f"{picture.stem}.png", -1),) if f"{picture.stem}.png" in names else ()
        for picture in sorted(images.iterdir())
        if picture.suffix.lower() in PICTURE_SUFFIXES
    }


def _celeba_numbers(root: Path) -> dict[str, int]:
    """A picture's number in CelebA (from 1) by its number in CelebA-HQ; empty without that file."""
    path = find_path_or_none(root, "CelebA-HQ-to-CelebA-mapping.txt")
    if path is None:
        return {}
    numbers = {}
    for line in read_lines(path)[1:]:
        fields = line.split()
        try:
            hq, _, celeba = fields
            numbers[str(int(hq))] = int(Path(celeba).stem)
        except ValueError:
            raise LayoutError(
                f"{path} has the line {line!r}, not `idx orig_idx orig_file`: fetch it again"
            ) from None
    return numbers


def _split(number: int) -> str:
    if number <= _LAST_OF_TRAINING:
        return "train"
    return "validation" if number <= _LAST_OF_VALIDATION else "test"


def _persons(root: Path) -> dict[int, str]:
    """Identities by the number in CelebA; empty without CelebA's file."""
    path = find_path_or_none(root, "identity_CelebA.txt", "Anno/identity_CelebA.txt")
    if path is None:
        return {}
    rows = (line.split() for line in read_lines(path))
    return {
        int(Path(row[0]).stem): row[1] for row in rows if len(row) == 2 and row[0].split(".")[0].isdecimal()
    }


def _attributes(root: Path) -> Mapping[str, dict[str, float]]:
    """The 40 attributes by the picture's number; empty where their file is missing."""
    path = find_path_or_none(root, "CelebAMask-HQ-attribute-anno.txt")
    if path is None:
        return {}
    _, header, *lines = read_lines(path)
    names = header.split()
    if set(names) != set(CATALOGUE["attributes"].labels):
        raise LayoutError(f"{path} does not name CelebA's 40 attributes in its second line: fetch it again")
    found = {}
    for line in lines:
        name, *values = line.split()
        if len(values) != len(names) or not set(values) <= {"1", "-1"}:
            raise LayoutError(f"{path} has no 40 attributes of 1 or -1 for {name}: fetch it again")
        found[Path(name).stem] = {
            label: float(value == "1") for label, value in zip(names, values, strict=True)
        }
    return found


READER = Reader(
    name="celebamask_hq",
    title="CelebAMask-HQ (Lee et al., CVPR 2020)",
    licence="non-commercial research",
    page="https://github.com/switchablenorms/CelebAMask-HQ: a download for non-commercial research",
    tasks=("parsing", "attributes"),
    tree="""\
CelebA-HQ-img/0.jpg
CelebAMask-HQ-mask-anno/0/00000_skin.png, 00000_l_eye.png ...      2,000 pictures a folder
CelebA-HQ-to-CelebA-mapping.txt                                    the split; who also takes CelebA needs it
CelebAMask-HQ-attribute-anno.txt                                   if there: attributes
identity_CelebA.txt                                                CelebA's, if there: persons
or, merged:
images/NAME.jpg (or .webp, .png)
masks/NAME.png                                                     class ids 0 to 18""",
    expected=Expected(counts={"all": 30000}),
    read=read,
)
