"""The programs and commands that the client's documents show, as tests run and type-check them.

A page's blocks are one script, in order. By what stands after a fence:

- `python`: run against a real server, and type-checked;
- `python notest`: type-checked only, as it needs what a test has not (a key, another machine's server);
- `console`: lines that begin with `$ qface` are run by the command line's own `main`; other lines are shown
  only. A line ends with status 0 unless its comment says `exit status N`; `*`, `> FILE` and `< FILE` mean
  what they mean to a shell, and nothing else does;
- `console notest`, and any other word or none: shown only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.paths import ROOT

PAGES = (ROOT / "README.md", ROOT / "client" / "README.md", *sorted((ROOT / "docs" / "client").glob("*.md")))
_FENCE = re.compile(r"^```(?P<words>[^\n`]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_QFACE = re.compile(r"^\$ (?P<line>qface\b.*)$")
_STATUS = re.compile(r"#.*exit status (?P<status>\d+)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    words: tuple[str, ...]  # after the fence: ("python", "notest")
    line: int  # of its first line of text in the page, from 1
    text: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """A line of the command line."""

    line: int
    text: str  # without the prompt
    status: int


def name_of(page: Path) -> str:
    """A page's path as a test's identifier."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Every fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            words=tuple(fence["words"].split()),
            line=text.count("\n", 0, fence.start("text")) + 1,
            text=fence["text"],
        )
        for fence in _FENCE.finditer(text)
    ]


def script(page: Path, *, untested: bool = False) -> str:
    """A page's program, each line at the number that it has in the page; "" where it has none.

    `untested`: with the blocks that are type-checked only.
    """
    wanted = [("python",), *([("python", "notest")] if untested else [])]
    lines: list[str] = []
    for block in blocks(page):
        if block.words in wanted:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n" if lines else ""


def commands(page: Path) -> list[Command]:
    """The lines of a page that are run as commands."""
    found = []
    for block in blocks(page):
        if block.words != ("console",):
            continue
        for number, line in enumerate(block.text.splitlines(), start=block.line):
            if match := _QFACE.match(line):
                status = _STATUS.search(line)
                found.append(
                    Command(line=number, text=match["line"], status=int(status["status"]) if status else 0)
                )
    return found
