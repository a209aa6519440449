"""Sends the corpus through a server's doors, and counts what became of each file."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from tests.hostile.doors import Judge
from tests.hostile.pictures.files import HostileFile


@dataclasses.dataclass(kw_only=True)
class Row:
    """What became of the files of one kind, through one door.

    wrong    by the file's name what was wrong with its answer or its sentence
    crashed  by the file's name which processes were gone after it
    """

    count: int = 0
    answered: int = 0
    refused: int = 0
    wrong: dict[str, str] = dataclasses.field(default_factory=dict)
    crashed: dict[str, str] = dataclasses.field(default_factory=dict)


Rows = dict[tuple[str, str], Row]  # by the kind of file and the door's name


def run_pictures(
    files: Iterable[HostileFile], doors: Mapping[str, Judge], *, dead: Callable[[], str], rows: Rows
) -> None:
    """Each file through each door; `dead` names the processes that are gone since it was called last."""
    for file in files:
        for door, judge in doors.items():
            row = rows.setdefault((file.kind, door), Row())
            flaw, answered = judge(file)
            row.count += 1
            if flaw:
                row.wrong[file.name] = flaw
            elif answered:
                row.answered += 1
            else:
                row.refused += 1
            if gone := dead():
                row.crashed[file.name] = gone


def picture_table(rows: Rows) -> str:
    """Markdown: one line a kind, the doors' counts added up."""
    kinds = list(dict.fromkeys(kind for kind, _ in rows))
    lines = [
        "| files | count | doors | answered | refused | wrong | crashed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    total = [0] * 6
    for kind in kinds:
        of_kind = [row for (name, _), row in rows.items() if name == kind]
        numbers = [
            max(row.count for row in of_kind),
            len(of_kind),
            sum(row.answered for row in of_kind),
            sum(row.refused for row in of_kind),
            sum(len(row.wrong) for row in of_kind),
            sum(len(row.crashed) for row in of_kind),
        ]
        total = [before + number for before, number in zip(total, numbers, strict=True)]
        lines.append(f"| {kind} | {' | '.join(map(str, numbers))} |")
    total[1] = max(len({door for _, door in rows}), 0)
    lines.append(f"| **all** | {' | '.join(map(str, total))} |")
    return "\n".join(lines)
