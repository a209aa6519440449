"""Photos and faces of a report as pictures within the page, with the faces' boxes and numbers."""

from collections.abc import Callable

from ...kinds.base import Colour
from . import markup
from .gathered import FaceShown, PhotoShown
from .pictures import CROP_SIDE, shown_size
from .spool import Kept

Read = Callable[[Kept], bytes]

_MARK = 18.0  # a number's disc, in pixels of a thumbnail as it is shown
_LETTERS = 0.65  # height of a number to its disc
_DIGITS = 2  # that a disc has room for at this height


def framed(photo: PhotoShown, *, read: Read) -> str:
    """A photo's thumbnail with its faces' boxes, numbered where there are several."""
    faces = markup.count(photo.count, "face") if photo.count else "no face"
    about = f"{markup.plain_name(photo.name)}: {faces}"
    if photo.thumbnail is None:
        return f'<div class="framed">{_unshown("this photo can’t be shown")}</div>'
    picture = markup.picture(read(photo.thumbnail), about=about, size=shown_size(photo.size))
    if not photo.faces:
        return f'<div class="framed">{picture}</div>'
    width, height = photo.size
    unit = max(width, height) / max(shown_size(photo.size))
    drawn = "".join(_box(face, unit=unit) for face in photo.faces)
    if photo.count > 1:
        side = _MARK * unit
        beside = side / 3  # so that a small face is seen all the same
        drawn += "".join(
            _mark(face, max(side / 2, face.box[0] - beside), max(side / 2, face.box[1] - beside), side=side)
            for face in photo.faces
        )
    return (
        f'<div class="framed">{picture}'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{drawn}</svg></div>'
    )


def crop(face: FaceShown, photo: PhotoShown, *, read: Read) -> str:
    """A face's picture, with its number where the photo has several."""
    if face.crop is None:
        return f'<div class="crop">{_unshown("no picture")}</div>'
    about = f"face {face.number} of {markup.plain_name(photo.name)}"
    picture = markup.picture(read(face.crop), about=about, size=(CROP_SIDE, CROP_SIDE))
    if photo.count == 1:
        return f'<div class="crop">{picture}</div>'
    mark = _mark(face, 10, 10, side=20)
    return f'<div class="crop">{picture}<svg viewBox="0 0 20 20" aria-hidden="true">{mark}</svg></div>'


def _unshown(why: str) -> str:
    return f'<div class="unshown">{why}</div>'


def _box(face: FaceShown, *, unit: float) -> str:
    x0, y0, x1, y1 = face.box
    place = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" rx="{3 * unit:.1f}"'
    return f'<rect {place} class="under"/><rect {place} class="box" stroke="{_hex(face.colour)}"/>'


def _mark(face: FaceShown, x: float, y: float, *, side: float) -> str:
    """A face's number in a disc of its colour."""
    letters = side * _LETTERS * min(1.0, _DIGITS / len(str(face.number)))
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{side / 2:.1f}" fill="{_hex(face.colour)}"/>'
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{letters:.1f}" class="mark">{face.number}</text>'
    )


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
