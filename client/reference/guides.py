"""The guides, from Markdown. Links between them lead to their pages; others become file names."""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from pdoc.render_helpers import to_html

INDEX = "README.md"
LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A page of the guides."""

    file: str  # of its HTML, in the folder of all pages
    title: str  # its first heading
    text: str  # Markdown

    @property
    def html(self) -> str:
        """The page's text, with `toc_html` beside it."""
        return to_html(self.text)


def guides(folder: Path, *, project: Path) -> list[Guide]:
    """Every page of a folder: the index first, then in the order in which the index links to them."""
    index = (folder / INDEX).read_text(encoding="utf-8")
    names = list(dict.fromkeys(target for _, target in LINK.findall(index) if (folder / target).is_file()))
    names = [INDEX, *(name for name in names if "/" not in name and name.endswith(".md"))]
    left = {path.name for path in folder.glob("*.md")} - set(names)
    if left:
        raise SystemExit(f"{folder / INDEX} has no link to {', '.join(sorted(left))}")
    return [_guide(folder / name, project=project) for name in names]


def _guide(path: Path, *, project: Path) -> Guide:
    text = path.read_text(encoding="utf-8")
    # A word that the tests go by ("notest") means nothing to a reader, and the highlighter takes one word.
    text = re.sub(r"^```(\w+) notest$", r"```\1", text, flags=re.MULTILINE)

    def linked(match: re.Match[str]) -> str:
        words, target = match["text"], match["target"]
        file, _, anchor = target.partition("#")
        if not file or "://" in target:
            return match[0]
        if file.endswith(".md") and (path.parent / file).is_file() and "/" not in file:
            return f"[{words}]({_page(file)}{'#' if anchor else ''}{anchor})"
        place = posixpath.relpath((path.parent / file).resolve().as_posix(), project.as_posix())
        return words if place in words else f"{words} (`{place}`)"

    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert title, f"{path} has no heading"
    return Guide(file=_page(path.name), title=title[1].replace("`", ""), text=LINK.sub(linked, text))


def _page(name: str) -> str:
    return "index.html" if name == INDEX else f"{name.removesuffix('.md')}.html"
