"""Draws the answers on a picture: boxes, captions, masks, points, and the axes of the head's pose.

Masks are laid over the face as clear colours; points that can't be seen are rings. Both are explained in a
legend below the picture.

Sizes follow the picture, so that the drawing reads the same on 96 and on 6,000 pixels: small pictures with a
face are enlarged first. What of a face lies outside the photo, as landmarks of a close-up do, is not drawn.
A caption stands beside its face where that hides no face; where there is no such place, a column is added at
the picture's right. Many faces get short captions.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from ._drawing import legend as legends
from ._drawing.layout import Placed, Plan, areas_of, font_of
from .kinds.base import BACK, Box, Canvas, Colour
from .kinds.rotation import AXES, axes_of
from .results import Face

__all__ = ["AXES", "axes_of", "draw_faces"]

SMALLEST_SIDE = 720  # a picture whose longer side is less is enlarged to it
SHARP_BELOW = 1600  # up to this side lines and text are drawn at twice the size, and so without steps

BRIGHT: Colour = (245, 245, 247)
DIM: Colour = (174, 176, 186)


def draw_faces(picture: Image.Image, faces: Sequence[Face]) -> Image.Image:
    """A new RGB picture with the answers of `faces` on it.

    `picture` is the photo that was analyzed; its EXIF rotation is applied first, as the server did.
    The result is at least as large: small pictures with a face are enlarged, a column may be added at the
    right, and a legend below where there are masks, or points whose visibility is known.
    """
    upright = _rgb(ImageOps.exif_transpose(picture))
    enlarged = max(1.0, SMALLEST_SIDE / max(upright.size)) if faces else 1.0
    if enlarged > 1:
        size = (max(1, round(upright.width * enlarged)), max(1, round(upright.height * enlarged)))
        upright = upright.resize(size, Image.Resampling.LANCZOS)
    plan = Plan(upright.size, faces, scale=enlarged)
    legend = legends.laid_out(faces, width=plan.canvas[0], unit=plan.unit)
    size = (plan.canvas[0], plan.canvas[1] + legend.height)
    canvas = Image.new("RGB", size, BACK)
    canvas.paste(upright)
    sharp = 2 if max(size) <= SHARP_BELOW else 1
    layer = Image.new("RGBA", (size[0] * sharp, size[1] * sharp), (0, 0, 0, 0))
    for placed in plan.faces:
        if (found := areas_of(placed.face)) is not None:
            found[1].lay(layer, scale=placed.scale * sharp, photo=upright.size, sharp=sharp)
    pen = _Pen(layer, scale=sharp)
    for placed in plan.faces:
        _draw_face(pen, placed, unit=plan.unit)
    _clear_outside(layer, photo=(upright.width * sharp, upright.height * sharp))
    for placed in plan.faces:
        _draw_caption(pen, placed)
    _draw_legend(pen, legend, top=plan.canvas[1])
    if sharp > 1:
        layer = layer.resize(size, Image.Resampling.LANCZOS)
    canvas.paste(layer, mask=layer)
    return canvas


def _clear_outside(layer: Image.Image, *, photo: tuple[int, int]) -> None:
    """Remove what was drawn of faces beside and below the photo, where captions and the legend stand."""
    layer.paste((0, 0, 0, 0), (photo[0], 0, *layer.size))
    layer.paste((0, 0, 0, 0), (0, photo[1], *layer.size))


def _rgb(picture: Image.Image) -> Image.Image:
    """As the server sees it: 16 bits brought to 8 over their whole range, what is clear on white."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would clip at 255
        deep = np.asarray(picture).clip(0, 65535).astype(np.uint32)
        clear = picture.info.get("transparency")
        if isinstance(clear, int):
            deep[deep == clear] = 65535
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")


class _Pen:
    """Draws in canvas pixels on a layer that may be larger."""

    def __init__(self, layer: Image.Image, *, scale: int) -> None:
        self._draw = ImageDraw.Draw(layer)
        self._scale = scale

    def line(self, points: Sequence[tuple[float, float]], *, colour: Colour, width: float) -> None:
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.line(scaled, fill=(*colour, 255), width=max(1, round(width * self._scale)), joint="curve")

    def frame(self, box: Box, *, colour: Colour, width: float) -> None:
        self._draw.rounded_rectangle(
            self._box(box),
            radius=width * 3 * self._scale,
            outline=(*colour, 255),
            width=max(1, round(width * self._scale)),
        )

    def panel(self, box: Box, *, colour: Colour, alpha: int, radius: float) -> None:
        self._draw.rounded_rectangle(self._box(box), radius=radius * self._scale, fill=(*colour, alpha))

    def dot(self, x: float, y: float, *, colour: Colour, radius: float) -> None:
        self._draw.ellipse(self._box((x - radius, y - radius, x + radius, y + radius)), fill=(*colour, 255))

    def ring(self, x: float, y: float, *, colour: Colour, radius: float, width: float) -> None:
        self._draw.ellipse(
            self._box((x - radius, y - radius, x + radius, y + radius)),
            outline=(*colour, 255),
            width=max(1, round(width * self._scale)),
        )

    def text(
        self, x: float, y: float, words: str, *, size: float, colour: Colour, anchor: str = "lm"
    ) -> None:
        font = font_of(size * self._scale)
        self._draw.text(
            (x * self._scale, y * self._scale), words, font=font, fill=(*colour, 255), anchor=anchor
        )

    def _box(self, box: Box) -> Box:
        x0, y0, x1, y1 = (edge * self._scale for edge in box)
        return x0, y0, max(x0, x1), max(y0, y1)


def _draw_face(pen: _Pen, placed: Placed, *, unit: float) -> None:
    x0, y0, x1, y1 = placed.box
    side = max(1.0, min(x1 - x0, y1 - y0))
    width = max(1.0, min(unit / 7, side / 50))
    pen.frame((x0 - width, y0 - width, x1 + width, y1 + width), colour=BACK, width=width * 2)
    pen.frame(placed.box, colour=placed.colour, width=width)
    hidden = legends.hidden_points(placed.face)
    canvas = Canvas(box=placed.box, scale=placed.scale, width=width, colour=placed.colour)
    for task, answer in placed.face.answers.items():
        answer.draw(pen, canvas, hidden=hidden.get(task, set()))
    if placed.number is not None:
        radius = unit * 0.8
        pen.dot(x0, y0, colour=BACK, radius=radius * 1.12)
        pen.dot(x0, y0, colour=placed.colour, radius=radius)
        pen.text(x0, y0, str(placed.number), size=unit, colour=BACK, anchor="mm")


def _draw_legend(pen: _Pen, legend: legends.Legend, *, top: float) -> None:
    text = legend.text
    for x, y, entry in legend.places:
        middle, at = top + y, x + text * 0.45
        if entry.sign == "area":
            side = text * 0.42
            square = (at - side, middle - side, at + side, middle + side)
            pen.panel(square, colour=entry.colour, alpha=255, radius=side * 0.3)
        elif entry.sign == "dot":
            pen.dot(at, middle, colour=entry.colour, radius=text * 0.22)
        elif entry.sign == "ring":
            pen.ring(at, middle, colour=entry.colour, radius=text * 0.36, width=text * 0.12)
        colour = BRIGHT if entry.sign else DIM
        pen.text(x + (text * 1.3 if entry.sign else 0), middle, entry.text, size=text, colour=colour)


def _draw_caption(pen: _Pen, placed: Placed) -> None:
    if placed.place is None:
        return
    caption = placed.caption
    x0, y0, x1, y1 = placed.place
    pen.panel(placed.place, colour=BACK, alpha=205, radius=caption.text * 0.35)
    edge = max(2.0, caption.text * 0.16)
    pen.panel((x0, y0, x0 + edge, y1), colour=placed.colour, alpha=255, radius=edge / 2)
    left, right = x0 + caption.pad + caption.name_width, x1 - caption.pad
    for index, row in enumerate(caption.rows):
        y = y0 + caption.pad * 0.8 + (index + 0.5) * caption.line
        if row.share is not None and caption.name_width:
            bar = y + caption.text * 0.72
            thin = max(1.0, caption.text * 0.07)
            pen.line([(left, bar), (right, bar)], colour=(70, 72, 82), width=thin)
            pen.line(
                [(left, bar), (left + (right - left) * row.share, bar)], colour=placed.colour, width=thin
            )
        pen.text(x0 + caption.pad, y, row.name, size=caption.text, colour=DIM)
        pen.text(left, y, row.text, size=caption.text, colour=BRIGHT)
    if placed.number is not None:
        pen.dot(x0, y0, colour=placed.colour, radius=caption.text * 0.8)
        pen.text(x0, y0, str(placed.number), size=caption.text, colour=BACK, anchor="mm")
