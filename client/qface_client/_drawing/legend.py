"""What the colours and points of a drawing mean, in a strip below the picture."""

import dataclasses
from collections.abc import Sequence

from ..kinds._expected_errors import DRAWN_SHARE
from ..kinds.base import Colour, plain
from ..kinds.mask import colour_of
from ..results import Face
from .layout import LEADING, areas_of, font_of

PLAIN: Colour = (245, 245, 247)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One word of the legend, and the sign before it."""

    text: str
    sign: str = ""  # "area", "dot", "ring", or none: a heading
    colour: Colour = PLAIN


@dataclasses.dataclass(frozen=True, kw_only=True)
class Legend:
    """Entries with their places: x and the middle of the line, in canvas pixels below the picture."""

    places: Sequence[tuple[float, float, Entry]]
    height: int  # of the strip; 0 without entries
    text: float  # height of the letters


def hidden_points(face: Face) -> dict[str, set[int]]:
    """For each task of points whose visibility is answered, the indices of those that can't be seen."""
    found = (answer.hidden_points() for answer in face.answers.values())
    return {task: hidden for task, hidden in filter(None, found) if task in face.answers}


def entries(faces: Sequence[Face]) -> list[Entry]:
    """What a drawing of these faces needs to have explained: masks, points' visibility, expected errors."""
    found_entries: list[Entry] = []
    seen: dict[str, tuple[tuple[str, ...], set[int]]] = {}
    for face in faces:
        if (found := areas_of(face)) is not None and (areas := found[1].areas()) is not None:
            labels, visible = areas
            _, present = seen.setdefault(found[0], (labels, set()))
            present.update(visible)
    for task, (labels, present) in seen.items():
        if present:
            found_entries.append(Entry(text=plain(task)))
        found_entries += [
            Entry(text=plain(labels[i]), sign="area", colour=colour_of(i)) for i in sorted(present)
        ]
    for task in dict.fromkeys(task for face in faces for task in hidden_points(face)):
        found_entries.append(Entry(text=plain(task)))
        found_entries += [Entry(text="seen", sign="dot"), Entry(text="hidden", sign="ring")]
    if any(answer.error_dict() is not None for face in faces for answer in face.answers.values()):
        found_entries.append(Entry(text=f"± and thin lines: {DRAWN_SHARE:.0%} of true values lie within"))
    return found_entries


def laid_out(faces: Sequence[Face], *, width: int, unit: float) -> Legend:
    """The legend of a drawing that is `width` pixels wide and whose letters are `unit` high."""
    text = unit * 0.85
    font, gap = font_of(text), text * 0.8
    x, line = gap, 0
    places = []
    for entry in entries(faces):
        sign = text * 1.3 if entry.sign else 0.0
        takes = sign + font.getlength(entry.text)
        if x > gap and (x + takes + gap > width or not entry.sign):  # a heading begins a line
            x, line = gap, line + 1
        places.append((x, gap + (line + 0.5) * text * LEADING, entry))
        x += takes + gap * 1.3
    height = round(2 * gap + (line + 1) * text * LEADING) if places else 0
    return Legend(places=places, height=height, text=text)
