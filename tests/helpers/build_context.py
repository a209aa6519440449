"""What a build of the container is sent: the files that Dockerfile.dockerignore leaves."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
IGNORE = DOCKERFILE.with_name("Dockerfile.dockerignore")


def context_files() -> Iterator[Path]:
    """The files, relative to the repository."""
    patterns = [
        (not line.startswith("!"), _expression(line.removeprefix("!")))
        for line in IGNORE.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    for top in sorted(ROOT.iterdir()):
        if top.name.startswith((".git", ".venv", "var")):  # large, and never sent; a test holds that
            continue
        for path in (top,) if top.is_file() else sorted(top.rglob("*")):
            if (path.is_file() or path.is_symlink()) and not _ignored(path.relative_to(ROOT), patterns):
                yield path.relative_to(ROOT)


def _ignored(path: Path, patterns: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """The last pattern that matches the path or a folder above it decides."""
    names = [path.as_posix(), *(folder.as_posix() for folder in path.parents if folder != Path())]
    ignored = False
    for ignores, pattern in patterns:
        if any(pattern.fullmatch(name) for name in names):
            ignored = ignores
    return ignored


def _expression(pattern: str) -> re.Pattern[str]:
    """Docker's pattern: * stays within a name, ** does not."""
    parts = [re.escape(part).replace(r"\*", "[^/]*") if part != "**" else "**" for part in pattern.split("/")]
    return re.compile("/".join(parts).replace("**/", "(?:.*/)?"))
