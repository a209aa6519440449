"""Which photos each row of the benchmark is measured on."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.detector.chips import Chip
from deploy.benchmark.detector.photos import Backgrounds, Shot, Wanted, photo_of, tight_photo

# Edges of the sizes, in per cent of the photo's longer side.
SIZES = (2, 3, 4, 6, 8, 10, 15, 20, 30, 45, 60)
_SHAPES = ((512, 384), (384, 512), (512, 512))
_FULL_HD = ((1920, 1080), (1080, 1920))
_TWELVE_MEGAPIXELS = ((4000, 3000), (3000, 4000))
# A face of 3 % of 512 pixels is no larger than what the search leaves out.
_SMALLEST_OF_512 = 3
# Faces a photo of 1920 x 1080, by the size's lower edge; of larger ones fewer have room.
_FULL_HD_FACES = {2: 6, 3: 6, 4: 6, 6: 5, 8: 5, 10: 4, 15: 3, 20: 2, 30: 1, 45: 1}
_MIDDLE = (10, 40)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceRow:
    """A row about faces: its photos, made anew at each call, the same every time."""

    group: str
    name: str
    shots: Callable[[], Iterator[Shot]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """What photos are made of, and how many faces a row has."""

    chips: Sequence[Chip]
    backgrounds: Backgrounds
    seed: int

    @property
    def faces(self) -> int:
        """Of a row: every chip once."""
        return len(self.chips)


def face_rows(material: Material) -> Iterator[FaceRow]:
    """All rows about faces, but for those of rendered heads."""
    for low, high in itertools.pairwise(SIZES):
        if low >= _SMALLEST_OF_512:
            yield _size_row(material, "512 px, one face", (low, high), shapes=_SHAPES, in_photo=1)
    for low, high in itertools.pairwise(SIZES[:-1]):
        in_photo = _FULL_HD_FACES[low]
        # A photo of one costs as much as one of six.
        faces = material.faces if in_photo > 1 else material.faces // 2
        yield _size_row(
            material,
            "1080p, several faces",
            (low, high),
            shapes=_FULL_HD,
            in_photo=in_photo,
            faces=faces,
            across=2,
        )
    for low, high in ((2, 4), (4, 8), (8, 15)):
        yield _size_row(
            material, "12 MP, twelve faces", (low, high), shapes=_TWELVE_MEGAPIXELS, in_photo=12, across=4
        )
    yield _beside_row(material, "512 px: 6 to 12 % beside 30 to 45 %", shapes=_SHAPES, small=(6, 12), count=2)
    yield _beside_row(
        material, "1080p: 3 to 8 % beside 20 to 40 %", shapes=_FULL_HD, small=(3, 8), count=4, across=2
    )
    yield _size_row(material, "512 px, five faces", (8, 16), shapes=_SHAPES, in_photo=5)
    for name, turn, change in _VARIANTS:
        yield _size_row(
            material,
            "512 px, 10 to 40 %",
            _MIDDLE,
            shapes=_SHAPES,
            in_photo=1,
            name=name,
            turn=turn,
            change=change,
        )
    yield FaceRow(
        group="a face alone", name="brow to chin", shots=lambda: _tight_shots(material, margin=(-0.12, -0.02))
    )
    yield FaceRow(
        group="a face alone",
        name="the chip as it is",
        shots=lambda: _tight_shots(material, margin=(9.0, 9.0)),
    )


def _size_row(
    material: Material,
    group: str,
    percent: tuple[int, int],
    *,
    shapes: Sequence[tuple[int, int]],
    in_photo: int,
    faces: int | None = None,
    across: int = 1,
    name: str | None = None,
    turn: float = 0.0,
    change: Callable[[Shot], Shot] | None = None,
) -> FaceRow:
    """A row of faces of one range of sizes, drawn evenly by their logarithm."""

    def shots() -> Iterator[Shot]:
        random = np.random.default_rng([material.seed, *percent, in_photo, max(shapes[0])])
        for chips in _groups(material.chips[:faces], in_photo):
            wanted = [
                Wanted(share=_draw_share(random, percent), turn=turn * random.choice([-1, 1])) for _ in chips
            ]
            photo = _photo(material, chips, wanted, shapes=shapes, across=across, random=random)
            yield change(photo) if change else photo

    return FaceRow(group=group, name=name or f"{percent[0]} to {percent[1]} %", shots=shots)


def _beside_row(
    material: Material,
    name: str,
    *,
    shapes: Sequence[tuple[int, int]],
    small: tuple[int, int],
    count: int,
    across: int = 1,
) -> FaceRow:
    """Small faces beside a large one, which does not count."""
    large = (30, 45) if across == 1 else (20, 40)

    def shots() -> Iterator[Shot]:
        random = np.random.default_rng([material.seed, *small, count])
        for number, chips in enumerate(_groups(material.chips, count)):
            first = Wanted(share=_draw_share(random, large), counted=False)
            others = [Wanted(share=_draw_share(random, small)) for _ in chips]
            neighbour = material.chips[-1 - number]
            yield _photo(
                material, [neighbour, *chips], [first, *others], shapes=shapes, across=across, random=random
            )

    return FaceRow(group="small beside large", name=name, shots=shots)


def _photo(
    material: Material,
    chips: Sequence[Chip],
    wanted: Sequence[Wanted],
    *,
    shapes: Sequence[tuple[int, int]],
    across: int,
    random: np.random.Generator,
) -> Shot:
    width, height = shapes[int(random.integers(len(shapes)))]
    background = material.backgrounds.draw(random, width=width, height=height, across=across)
    return photo_of(chips, wanted, background=background, random=random)


def _groups(chips: Sequence[Chip], size: int) -> Iterator[Sequence[Chip]]:
    return (chips[first : first + size] for first in range(0, len(chips), size))


def _draw_share(random: np.random.Generator, percent: tuple[int, int]) -> float:
    low, high = percent
    return float(np.exp(random.uniform(np.log(low), np.log(high)))) / 100


def _tight_shots(material: Material, *, margin: tuple[float, float]) -> Iterator[Shot]:
    random = np.random.default_rng([material.seed, 7])
    for chip in material.chips:
        yield tight_photo(chip, margin=random.uniform(*margin), longer=int(random.integers(112, 385)))


def _with_pixels(shot: Shot, pixels: NDArray[np.generic]) -> Shot:
    return dataclasses.replace(shot, pixels=np.asarray(pixels, dtype=np.uint8))


def _grey(shot: Shot) -> Shot:
    grey = cv2.cvtColor(shot.pixels, cv2.COLOR_RGB2GRAY)
    return _with_pixels(shot, np.repeat(grey[..., None], 3, axis=2))


def _dark(shot: Shot) -> Shot:
    return _with_pixels(shot, np.rint(shot.pixels * 0.25))


def _blurred(shot: Shot) -> Shot:
    face = float((shot.boxes[:, 2:] - shot.boxes[:, :2]).max())
    return _with_pixels(shot, cv2.GaussianBlur(shot.pixels, (0, 0), 0.06 * face))


_VARIANTS: tuple[tuple[str, float, Callable[[Shot], Shot] | None], ...] = (
    ("upright", 0.0, None),
    ("turned by 30 degrees", 30.0, None),
    ("turned by 90 degrees", 90.0, None),
    ("grey", 0.0, _grey),
    ("a quarter of the light", 0.0, _dark),
    ("blurred by 6 % of the face", 0.0, _blurred),
)
