"""A description for people: lines for a terminal, Markdown, and a contact sheet."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training.data.own.describe import SHOWN, Description
from training.data.sample import SPLITS
from training.tasks import CATALOGUE

_CELL, _LINE = 100, 18
_COLUMNS = 8
_ROWS = 200  # of the sheet: a JPEG is at most 65,500 pixels high, and nobody looks at more


def as_text(found: Description) -> str:
    """What was understood and what is wrong, for a terminal."""
    lines = [f"{found.form}: {_counts(found)}"]
    lines += [f"  {name}: {meaning}" for name, meaning in found.columns.items()]
    for task, by_split in found.labelled.items():
        kind = CATALOGUE[task].kind
        lines.append(f"{task} ({kind}): {', '.join(f'{n:,} for {split}' for split, n in by_split.items())}")
        for label in _known_labels(found, task):
            counts = [_count(found, task, split, label) for split in by_split]
            lines.append(f"  {label}: {', '.join(f'{n:,}' for n in counts)}")
    faults = found.faults
    lines += ["nothing is wrong" if not faults else "what is wrong:"]
    return "\n".join([*lines, *(f"  {fault}" for fault in faults)])


def write_report(found: Description, folder: Path, *, title: str) -> Path:
    """report.md and, where pictures were read, sheet.jpg in a folder; returns the report's path.

    The sheet has the first `_ROWS` labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}", f"{found.form}: {_counts(found)}."]
    if found.columns:
        lines = [f"| {_cell(name)} | {_cell(meaning)} |" for name, meaning in found.columns.items()]
        parts.append("\n".join(["| what is there | what it means |", "| --- | --- |", *lines]))
    for task, by_split in found.labelled.items():
        splits = [split for split in SPLITS if by_split[split]]
        rows = [["labelled", *(f"{by_split[split]:,}" for split in splits)]]
        rows += [
            [label, *(f"{_count(found, task, split, label):,}" for split in splits)]
            for label in _known_labels(found, task)
        ]
        head = [f"| {task} | {' | '.join(splits)} |", f"|{' --- |' * (1 + len(splits))}"]
        parts.append("\n".join([*head, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]))
    parts.append("## What is wrong")
    parts.append("\n".join(f"- {fault}" for fault in found.faults) or "Nothing was found.")
    for name, entries in (
        ("Rows that can't be read", found.bad_rows),
        ("Pictures that are missing", found.missing),
        ("Pictures that can't be decoded", found.unreadable),
        ("Faces named twice", found.repeated),
        ("Nearly the same in two splits", [f"{one} and {other}" for one, other in found.copies]),
    ):
        if entries:
            more = [f"- and {len(entries) - SHOWN:,} more"] if len(entries) > SHOWN else []
            parts.append("\n".join([f"### {name}\n", *(f"- {entry}" for entry in entries[:SHOWN]), *more]))
    if found.examples:
        labels = sum(len(of) for of in found.examples.values())
        shown = "each label" if labels <= _ROWS else f"the first {_ROWS} of {labels} labels"
        parts.append(f"Some faces of {shown}:\n\n![faces with their labels](sheet.jpg)")
    path = folder / "report.md"
    # A file's name may hold bytes that are no text.
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")
    if found.examples:
        _sheet(found).save(folder / "sheet.jpg", quality=85)
    return path


def _count(found: Description, task: str, split: str, label: str) -> int:
    of_split = found.shares[task].get(split)
    return 0 if of_split is None else of_split[label]


def _known_labels(found: Description, task: str) -> list[str]:
    """The labels of which something is known of a face."""
    known = {label for counts in found.shares.get(task, {}).values() for label in counts}
    return [label for label in CATALOGUE[task].labels if label in known]


def _counts(found: Description) -> str:
    faces = ", ".join(f"{found.splits[split]:,} for {split}" for split in SPLITS if found.splits[split])
    people = f", {len(found.persons):,} persons" if found.persons else ""
    return f"faces {faces or 'none'}{people}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _sheet(found: Description) -> Image.Image:
    """A line for each label, with its name over its first faces."""
    rows = [(f"{task}: {label}", faces) for task, of in found.examples.items() for label, faces in of.items()]
    rows = rows[:_ROWS]
    sheet = Image.new("RGB", (_COLUMNS * _CELL, len(rows) * (_CELL + _LINE)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (text, faces) in enumerate(rows):
        top = i * (_CELL + _LINE)
        draw.text((2, top + 2), text, fill="black")
        for k, face in enumerate(faces[:_COLUMNS]):
            sheet.paste(Image.fromarray(np.ascontiguousarray(face)), (k * _CELL, top + _LINE))
    return sheet
