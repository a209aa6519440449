"""Faces of a file in COCO's form: `images`, `annotations` with `bbox`, and `categories`.

A category's name is a label of the task that `Settings.task` names; an annotation's `attributes` are
read as a table's columns (training.data.own.columns), and its `keypoints` as the points of a task that has
the category's names of them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.own.columns import BOX, PATH, PERSON, SPLIT, shortened, source_of_rows
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError
from training.kinds import kind_of
from training.kinds.forms import QueryAnswer
from training.tasks import CATALOGUE


def open_coco(file: Path, settings: Settings) -> OwnSource:
    """The annotated faces of a file. LayoutError for one that is not COCO's, or labels no task."""
    content = _content(file)
    images = _by_id(content["images"], what="images", file=file)
    categories = _by_id(content.get("categories") or [], what="categories", file=file)
    if not content["annotations"]:
        raise LayoutError(f"{file} has no annotation: a face is one, with the image_id of its picture")
    rows = [_row(note, images, categories, task=settings.task) for note in content["annotations"]]
    named = ", ".join(dict.fromkeys(str(category.get("name")) for category in categories.values()))
    hint = f"its categories are {shortened(named)}: say with --task of which task" if categories else ""
    names = list(dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row))
    return source_of_rows(
        "coco",
        lambda: rows,
        names or [PATH],
        origin=str(file),
        root=settings.root or file.parent,
        split=settings.split,
        hint=hint if settings.task is None else "",
    )


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{file} is no JSON ({error}): give a file in COCO's form") from None
    lists = [
        isinstance(content, dict) and isinstance(content.get(n), list) for n in ("images", "annotations")
    ]
    if not all(lists):
        raise LayoutError(f"{file} has no lists `images` and `annotations`: give a file in COCO's form")
    return dict(content)


def _by_id(entries: Any, *, what: str, file: Path) -> dict[int | str, dict[str, Any]]:
    """Images or categories by their ids. LayoutError for those that are not written as COCO's."""
    found: dict[int | str, dict[str, Any]] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
            said = shortened(repr(entry), 80)
            raise LayoutError(f"{file}: number {number} of its {what} is {said}: write an object with an id")
        if entry["id"] in found:
            raise LayoutError(f"{file} has two {what} with the id {entry['id']!r}: give each its own")
        names = entry.get("keypoints")
        if names and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            said = shortened(repr(names), 80)
            raise LayoutError(f"{file}: the keypoints of its {what} are {said}: write a list of names")
        found[entry["id"]] = entry
    return found


def _row(
    note: Any, images: Mapping[Any, Any], categories: Mapping[Any, Any], *, task: str | None
) -> dict[str, Any] | str:
    """An annotation as a table's row; a text that says what is wrong with it."""
    if not isinstance(note, dict):
        return f"it is {shortened(repr(note), 80)}, and no object"
    image_id, category_id = (note.get(name) for name in ("image_id", "category_id"))
    if not isinstance(image_id, int | str) or image_id not in images:
        return "its image_id is none of the images"
    image = images[image_id]
    row: dict[str, Any] = {PATH: image.get("file_name")}
    for name in (SPLIT, PERSON):
        if image.get(name) or note.get(name):
            row[name] = note.get(name) or image.get(name)
    if note.get("bbox") is not None:
        try:
            x, y, width, height = (float(number) for number in note["bbox"])
        except (TypeError, ValueError, OverflowError):
            return f"its bbox is {note['bbox']!r}, and not x, y, width, height"
        row[BOX] = [x, y, x + width, y + height]
    if category_id is not None and not (isinstance(category_id, int | str) and category_id in categories):
        return "its category_id is none of the categories"
    category = {} if category_id is None else categories[category_id]
    if task is not None and category.get("name") is not None:
        row[task] = category["name"]
    attributes = note.get("attributes") or {}
    if not isinstance(attributes, dict):
        return f"its attributes are {shortened(repr(attributes), 80)}, and no object"
    row |= attributes
    return _with_points(row, note.get("keypoints"), category.get("keypoints"))


def _with_points(row: dict[str, Any], numbers: Any, names: Sequence[str] | None) -> dict[str, Any] | str:
    """The row with the label of the task whose points have these names.

    COCO's third number is 0 for a point that is not known.
    """
    if not numbers or not names:
        return row
    found = next(
        (
            t
            for t in CATALOGUE.values()
            if kind_of(t).query_answer is QueryAnswer.POINT and set(names) <= set(t.labels)
        ),
        None,
    )
    if found is None:
        return row
    if not isinstance(numbers, list) or len(numbers) != 3 * len(names):
        return f"its keypoints are no list of three numbers for each of {len(names)} points"
    at = {name: numbers[3 * i : 3 * i + 3] for i, name in enumerate(names)}
    known = {name: [x, y] for name, (x, y, seen) in at.items() if seen}
    return row | ({found.name: [known.get(label) for label in found.labels]} if known else {})
