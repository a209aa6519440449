"""A report as Markdown: every figure of the page, without its plots."""

import re
from collections.abc import Iterator, Sequence

from deploy.loadtest.report.content import NUMBER, Section, Table

# An underscore within a word is no markup, and names of models have some.
_SPECIAL = re.compile(r"([\\`*\[\]|#]|(?<!\w)_|_(?!\w))")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def render(
    title: str, headline: str, warnings: Sequence[str], first: Table | None, sections: Sequence[Section]
) -> str:
    """The whole document; `first` is a table above all sections."""
    lines = [f"# {escaped(title)}", "", f"**{escaped(headline)}**", ""]
    lines += [f"- {escaped(warning)}" for warning in warnings]
    lines += [""] if warnings else []
    lines += _table(first) if first is not None else []
    for section in sections:
        if not section.text and not section.tables:
            continue  # plots alone: the page has them
        lines += [f"## {escaped(section.title)}", ""]
        for text in section.text:
            lines += [escaped(text), ""]
        for table in section.tables:
            lines += _table(table, under=section.title)
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text that is shown as it is, in a line and in a cell: nothing in it is markup."""
    plain = _UNPRINTABLE.sub("�", " ".join(text.split()))
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)


def _table(table: Table, under: str = "") -> list[str]:
    lines = [f"### {escaped(table.title)}", ""] if table.title != under else []
    lines.append(f"| {' | '.join(escaped(column.name) for column in table.columns)} |")
    lines.append(f"|{'|'.join('---:' if column.holds == NUMBER else '---' for column in table.columns)}|")
    lines += [f"| {' | '.join(_cells(table, index))} |" for index in range(len(table.rows))]
    lines.append("")
    return [*lines, escaped(table.note), ""] if table.note else lines


def _cells(table: Table, row: int) -> Iterator[str]:
    for column, cell in enumerate(table.rows[row]):
        text = escaped(cell)
        yield f"**{text}**" if (row, column) in table.strong and text else text
