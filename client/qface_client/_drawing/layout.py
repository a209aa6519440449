"""Where the captions of a drawing go, before anything is drawn."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from PIL import ImageFont

from ..kinds.base import Answer, Box, Colour, Row
from ..results import Face
from . import captions

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MANY_FACES = 5  # from here on captions are short
SHRINK = (1.0, 0.85, 0.72, 0.6)  # sizes that short captions are tried in until they hide nothing
LEADING = 1.62  # height of a line to that of its letters

PALETTE: tuple[Colour, ...] = (
    (255, 196, 61),
    (92, 200, 255),
    (170, 224, 104),
    (255, 138, 128),
    (201, 160, 255),
    (255, 170, 220),
    (120, 230, 200),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caption:
    """A caption's rows and its measures in canvas pixels."""

    rows: list[Row]
    text: float  # height of the letters
    name_width: float
    width: float
    height: float

    @property
    def line(self) -> float:
        return self.text * LEADING

    @property
    def pad(self) -> float:
        return self.text * 0.6


@dataclasses.dataclass(kw_only=True, eq=False)
class Placed:
    """A face in canvas pixels, and where its caption stands."""

    face: Face
    box: Box
    area: Box  # the box and the mask: what no caption should hide
    scale: float  # canvas pixels to one of the photo's
    colour: Colour
    caption: Caption
    number: int | None = None  # drawn at box and caption where the two are apart
    place: Box | None = None


class Plan:
    """All faces in canvas pixels with a place for each caption, and the canvas that this takes.

    `size`: the picture's width and height as it is drawn; `scale`: canvas pixels to one of the photo's.
    """

    def __init__(self, size: tuple[int, int], faces: Sequence[Face], *, scale: float) -> None:
        # Letters that read well when the whole picture is seen at once, in a panorama too.
        self.unit = max(11.0, min(max(size) / 52, min(size) / 18))
        many = len(faces) >= MANY_FACES
        self.faces = []
        for face, colour in zip(faces, itertools.cycle(PALETTE), strict=False):
            x0, y0, x1, y1 = (edge * scale for edge in face.box)
            text = min(self.unit, max(self.unit * 0.6, (x1 - x0) / 7)) if many else self.unit
            caption = _measure(captions.compact(face) if many else captions.full(face), text=text)
            self.faces.append(
                Placed(
                    face=face,
                    box=(x0, y0, x1, y1),
                    area=_area((x0, y0, x1, y1), face, scale=scale, size=size),
                    scale=scale,
                    colour=colour,
                    caption=caption,
                )
            )
        if many:
            displaced = self._least_hidden(size)
        else:
            displaced = [placed for placed, cost in self._place(size).items() if cost > 0]
        self.canvas = self._column(displaced, width=size[0], height=size[1])

    def _least_hidden(self, size: tuple[int, int]) -> list[Placed]:
        """Place short captions in the largest letters that hide nothing, or hide least; returns those
        that the picture has no room for."""
        full_size = [placed.caption for placed in self.faces]
        hidden = {}
        for factor in SHRINK:
            self._resize(full_size, factor)
            hidden[factor] = sum(self._place(size).values())
            if hidden[factor] == 0:
                return []
        self._resize(full_size, min(hidden, key=hidden.__getitem__))
        self._place(size)
        return [placed for placed in self.faces if placed.caption.rows and placed.place is None]

    def _resize(self, full_size: Sequence[Caption], factor: float) -> None:
        for placed, caption in zip(self.faces, full_size, strict=True):
            placed.caption = _measure(caption.rows, text=caption.text * factor)

    def _place(self, size: tuple[int, int]) -> dict[Placed, float]:
        """Place every caption, from the top of the picture down; returns how much each one hides."""
        taken = [placed.area for placed in self.faces]
        costs = {}
        for placed in sorted(self.faces, key=lambda placed: placed.box[1]):
            if not placed.caption.rows:
                continue
            placed.place, costs[placed] = _best_place(placed, size, taken)
            if placed.place is not None:
                taken.append(placed.place)
        return costs

    def _column(self, displaced: list[Placed], *, width: int, height: int) -> tuple[int, int]:
        """Put captions that hide something into columns at the right; returns the canvas's size."""
        if not displaced:
            return width, height
        gap = self.unit
        x, y, widest, bottom = width + gap, gap, 0.0, gap
        for placed in sorted(displaced, key=lambda placed: placed.box[1]):
            caption = placed.caption
            if y > gap and y + caption.height + gap > height:
                x, y, widest = x + widest + gap, gap, 0.0
            placed.place = (x, y, x + caption.width, y + caption.height)
            y += caption.height + gap
            widest, bottom = max(widest, caption.width), max(bottom, y)
        if len(self.faces) > 1:
            for number, placed in enumerate(self.faces, start=1):
                placed.number = number
        return math.ceil(x + widest + gap), max(height, math.ceil(bottom))


def _measure(rows: list[Row], *, text: float) -> Caption:
    font = font_of(text)
    names = max((font.getlength(row.name) for row in rows), default=0.0)
    if names:
        names += text * 0.9
    answers = max((font.getlength(row.text) for row in rows), default=0.0)
    pad = text * 0.6
    return Caption(
        rows=rows,
        text=text,
        name_width=names,
        width=names + answers + 2 * pad,
        height=len(rows) * text * LEADING + 1.6 * pad,
    )


def _best_place(placed: Placed, size: tuple[int, int], taken: Sequence[Box]) -> tuple[Box | None, float]:
    """The place beside, below or above the box that hides least, and how much of a caption it hides;
    None where the caption is larger than the picture."""
    x0, y0, x1, y1 = placed.area
    caption, gap = placed.caption, placed.caption.text * 0.4
    width, height = caption.width, caption.height
    if width > size[0] or height > size[1]:
        return None, math.inf
    middle = (x0 + x1 - width) / 2
    sides = [
        (x1 + gap, y0),
        (x0 - gap - width, y0),
        (x1 + gap, y1 - height),
        (x0 - gap - width, y1 - height),
    ]
    stacked = [(middle, y1 + gap), (x0, y1 + gap), (middle, y0 - gap - height), (x0, y0 - gap - height)]
    many = not any(row.name for row in caption.rows)
    best: Box | None = None
    least = math.inf
    for x, y in [*stacked, *sides] if many else [*sides, *stacked]:
        x = min(max(x, 0.0), size[0] - width)
        y = min(max(y, 0.0), size[1] - height)
        place = (x, y, x + width, y + height)
        cost = sum(overlap(place, other) for other in taken) / (width * height)
        if cost < least - 1e-9:
            best, least = place, cost
    return best, least


def areas_of(face: Face) -> tuple[str, Answer] | None:
    """The answer whose areas are drawn on the face, with its task: the first, as a second would hide it."""
    return next(((task, a) for task, a in face.answers.items() if a.areas() is not None), None)


def _area(box: Box, face: Face, *, scale: float, size: tuple[int, int]) -> Box:
    found = areas_of(face)
    extent = None if found is None else found[1].extent()
    if extent is None:
        return box
    x0, y0, x1, y1 = (edge * scale for edge in extent)
    return (
        min(box[0], max(x0, 0.0)),
        min(box[1], max(y0, 0.0)),
        max(box[2], min(x1, size[0])),
        max(box[3], min(y1, size[1])),
    )


def overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


_fonts: dict[int, Font] = {}


def font_of(size: float) -> Font:
    pixels = max(6, round(size))
    if pixels not in _fonts:
        _fonts[pixels] = ImageFont.load_default(pixels)
    return _fonts[pixels]
