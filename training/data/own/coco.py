"""Faces of a file in COCO's form: `images`, `annotations` with `bbox`, and `categories`.

A category's name is a label of the task that `Settings.task` names; an annotation's `attributes` are
read as a table's columns (training.data.own.columns), and its `keypoints` as the points of a task that has
the category's names of them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.own.columns import BOX, PATH, PERSON, SPLIT, source_of_rows
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError
from training.kinds import kind_of
from training.kinds.forms import QueryAnswer
from training.tasks import CATALOGUE


def open_coco(file: Path, settings: Settings) -> OwnSource:
    """The annotated faces of a file. LayoutError for one that is not COCO's, or labels no task."""
    content = _content(file)
    images = {image["id"]: image for image in content["images"]}
    categories = {category["id"]: category for category in content.get("categories", [])}
    rows = [_row(note, images, categories, task=settings.task) for note in content["annotations"]]
    names = list(dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row))
    return source_of_rows(
        "coco",
        lambda: rows,
        names or [PATH],
        origin=str(file),
        root=settings.root or file.parent,
        split=settings.split,
    )


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError) as error:
        raise LayoutError(f"{file} is no JSON ({error}): give a file in COCO's form") from None
    lists = [
        isinstance(content, dict) and isinstance(content.get(n), list) for n in ("images", "annotations")
    ]
    if not all(lists):
        raise LayoutError(f"{file} has no lists `images` and `annotations`: give a file in COCO's form")
    return dict(content)


def _row(
    note: Any, images: Mapping[Any, Any], categories: Mapping[Any, Any], *, task: str | None
) -> dict[str, Any] | str:
    """An annotation as a table's row; a text that says what is wrong with it."""
    if not isinstance(note, dict) or note.get("image_id") not in images:
        return "its image_id is none of the images"
    image = images[note["image_id"]]
    row: dict[str, Any] = {PATH: image.get("file_name")}
    for name in (SPLIT, PERSON):
        if image.get(name) or note.get(name):
            row[name] = note.get(name) or image.get(name)
    if note.get("bbox") is not None:
        try:
            x, y, width, height = (float(number) for number in note["bbox"])
        except (TypeError, ValueError):
            return f"its bbox is {note['bbox']!r}, and not x, y, width, height"
        row[BOX] = [x, y, x + width, y + height]
    category = categories.get(note.get("category_id"), {})
    if task is not None and category.get("name") is not None:
        row[task] = category["name"]
    row |= {str(name): value for name, value in dict(note.get("attributes") or {}).items()}
    return row | _points(note.get("keypoints"), category.get("keypoints"))


def _points(numbers: Any, names: Sequence[str] | None) -> dict[str, Any]:
    """The label of the task whose points have these names; COCO's third number is 0 for a point not known."""
    if not numbers or not names or len(numbers) != 3 * len(names):
        return {}
    found = next(
        (
            t
            for t in CATALOGUE.values()
            if kind_of(t).query_answer is QueryAnswer.POINT and set(names) <= set(t.labels)
        ),
        None,
    )
    if found is None:
        return {}
    at = {name: numbers[3 * i : 3 * i + 3] for i, name in enumerate(names)}
    known = {name: [x, y] for name, (x, y, seen) in at.items() if seen}
    return {found.name: [known.get(label) for label in found.labels]} if known else {}
