"""Answers on standard output: a table for people, or a line of JSON a photo."""

from ..._drawing import captions
from ...results import Analysis, Face
from .. import output
from .answered import Answered


class Table:
    """A paragraph a photo: its size, its faces, and a line for each task of each face."""

    def write(self, answered: Answered) -> None:
        """Print one photo's faces; an error has a line of its own on standard error."""
        analysis = answered.analysis
        if analysis is None:
            return
        name = output.name_in_line(answered.picture.name)
        lines = [f"{name}  {analysis.width}x{analysis.height}  {_count(analysis)}"]
        for number, face in enumerate(analysis, start=1):
            lines += _face(face, number=number)
        output.write("\n".join(lines))

    def close(self) -> None:
        """Nothing is held back."""


class JsonLines:
    """`Analysis.to_json_line` of each photo that was answered."""

    def write(self, answered: Answered) -> None:
        """Print one photo's line."""
        if answered.analysis is not None:
            output.write(answered.analysis.to_json_line(file=answered.picture.name))

    def close(self) -> None:
        """Nothing is held back."""


def _count(analysis: Analysis) -> str:
    """How many faces there are, how many more were found and why not, and how small ones were looked for."""
    count, found = len(analysis), analysis.faces_found
    faces = "no face" if count == 0 else "1 face" if count == 1 else f"{count} faces"
    more = f" of {found} found" if found > count else ""
    if below := analysis.faces_below_quality:
        more += f", {below} of too low quality"
    smallest = analysis.smallest_face
    return f"{faces}{more}" + ("" if smallest is None else f", looked for from {smallest:.0f} pixels on")


def _face(face: Face, *, number: int) -> list[str]:
    x0, y0, x1, y1 = (round(edge) for edge in face.box)
    rows = captions.full(face) + captions.looked_at(face)
    wide = max((len(row.name) for row in rows), default=0)
    quality = "" if face.quality is None else f"  quality {face.quality:.2f}"
    head = f"  face {number}  score {face.score:.2f}{quality}  box {x0},{y0} to {x1},{y1}"
    return [head, *(f"    {row.name:<{wide}}  {row.text}" for row in rows)]
