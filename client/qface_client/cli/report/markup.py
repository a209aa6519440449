"""Texts of photos, servers and people as parts of an HTML page."""

import base64
import html
import os
from pathlib import Path
from urllib.parse import quote

from ..output import name_in_line, printable
from .pictures import media_type


def text(words: str) -> str:
    """Any text: what HTML or a terminal would take for more is escaped."""
    return html.escape(printable(words))


def name(path: str) -> str:
    """A file's name, in its own writing direction; line ends and what is no character are escaped in it."""
    return f"<bdi>{html.escape(name_in_line(path))}</bdi>"


def plain_name(path: str) -> str:
    """A file's name within an attribute."""
    return html.escape(name_in_line(path))


def link(path: str, *, shown: str, page: Path) -> str:
    """The shown part of a file's name, which leads to the file as long as it and the page stay in place."""
    if not os.path.lexists(path):  # standard input
        return name(shown)
    try:
        relative = os.path.relpath(os.path.realpath(path), page.parent)
    except ValueError:  # another drive
        return name(shown)
    address = quote(os.fsencode(relative).replace(os.sep.encode(), b"/"))
    return f'<a href="{address if "/" in address else "./" + address}">{name(shown)}</a>'


def picture(data: bytes, *, about: str, size: tuple[int, int] | None = None) -> str:
    """A small picture within the page. about: its text in place of it, escaped already."""
    width, height = size or (1, 1)
    source = f"data:{media_type(data)};base64,{base64.b64encode(data).decode('ascii')}"
    return f'<img src="{source}" alt="{about}" width="{width}" height="{height}" loading="lazy">'


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 face", "2 faces"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
