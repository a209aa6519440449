"""A report as one HTML page that needs nothing else: no script, no other file, no network."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

from deploy.loadtest.report.content import NUMBER, Plot, Section, Table
from deploy.loadtest.report.plots import style

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_name("page.css")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def render(
    title: str,
    headline: str,
    facts: Sequence[str],
    warnings: Sequence[str],
    first: Table | None,
    sections: Sequence[Section],
) -> str:
    """The whole page; all that comes of a run is escaped here or in the plots."""
    links = "".join(f'<a href="#{section.name}">{escaped(section.title)}</a>' for section in sections)
    told = "".join(f"<li>{escaped(warning)}</li>" for warning in warnings)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            # Nothing can be loaded, even if some text of a server should be taken for markup.
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escaped(title)}</title>",
            f"<style>\n{_variables()}\n{_STYLE.read_text()}</style>",
            "</head>",
            "<body>",
            f"<header><h1>{escaped(title)}</h1>",
            f'<p class="headline">{escaped(headline)}</p>',
            f'<p class="facts">{" · ".join(map(escaped, facts))}</p>',
            f'<ul class="warnings">{told}</ul>' if told else "",
            _table(first) if first is not None else "",
            f"<nav>{links}</nav></header>",
            "<main>",
            *map(_section, sections),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def escaped(text: str) -> str:
    """Text as a page shows it, in an element and in an attribute."""
    return html.escape(_UNPRINTABLE.sub("�", text))


def _variables() -> str:
    light = "".join(f"--{name}:{pair[0]};" for name, pair in style.COLOURS.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in style.COLOURS.items())
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


def _section(section: Section) -> str:
    return "\n".join(
        [
            f'<section id="{section.name}"><h2>{escaped(section.title)}</h2>',
            *(f"<p>{escaped(text)}</p>" for text in section.text),
            *map(_plot, section.plots),
            *(_table(table, under=section.title) for table in section.tables),
            "</section>",
        ]
    )


def _plot(plot: Plot) -> str:
    with style.styled():
        svg = style.to_svg(plot.draw(), name=plot.name, label=_UNPRINTABLE.sub("�", plot.alt))
    return f"<figure>{svg}<figcaption>{escaped(plot.title)}</figcaption></figure>"


def _table(table: Table, under: str = "") -> str:
    """Folded away where the table is so; `under`: the heading above, which its title need not repeat."""
    kinds = ["number" if column.holds == NUMBER else "words" for column in table.columns]
    head = "".join(
        f'<th scope="col" class="{kind}">{escaped(column.name)}</th>'
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    head = f"<thead><tr>{head}</tr></thead>" if any(column.name for column in table.columns) else ""
    rows = "".join(_row(table, index, kinds) for index in range(len(table.rows)))
    title = escaped(table.title)
    body = f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>'
    body += f'<p class="note">{escaped(table.note)}</p>' if table.note else ""
    if table.folded:
        return f"<details><summary>{title}</summary>{body}</details>"
    return body if table.title == under else f"<h3>{title}</h3>{body}"


def _row(table: Table, row: int, kinds: Sequence[str]) -> str:
    cells = []
    for column, (kind, cell) in enumerate(zip(kinds, table.rows[row], strict=True)):
        text = escaped(cell)
        if (row, column) in table.strong:
            text = f"<strong>{text}</strong>"
        if column:
            cells.append(f'<td class="{kind}">{text}</td>')
        else:
            cells.append(f'<th scope="row" class="{kind}">{text}</th>')
    return f"<tr>{''.join(cells)}</tr>"
