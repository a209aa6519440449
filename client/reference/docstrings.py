"""Our docstrings as Markdown.

A docstring describes an argument in a sentence that begins with its name, one after the other:

    `url`: host:port of the server's gRPC.
    `timeout`: seconds, always finite; a number
    sets `Timeout.request`.

As they stand, Markdown would run them together: here they become a list.
"""

import re

ITEM = r"`[^`]+`(?:(?:, | and )`[^`]+`)*: "
FIRST_ITEM = re.compile(ITEM)
NEXT_ITEM = re.compile(rf"(?<=[.;]) (?={ITEM})")


def to_markdown(docstring: str) -> str:
    """The same text with arguments as list items."""
    paragraphs = re.split(r"\n\s*\n", docstring)
    return "\n\n".join("\n".join(_with_items(paragraph.splitlines())) for paragraph in paragraphs)


def _with_items(lines: list[str]) -> list[str]:
    """A paragraph, from its first line on that begins with an argument as a list."""
    first = next((i for i, line in enumerate(lines) if FIRST_ITEM.match(line)), None)
    if first is None:
        return lines
    texts: list[str] = []
    for line in lines[first:]:
        if FIRST_ITEM.match(line):
            texts.append(line)
        else:
            texts[-1] += f" {line.strip()}"
    items = [f"- {item}" for text in texts for item in NEXT_ITEM.split(text)]
    return [*lines[:first], *([""] if first else []), *items]
