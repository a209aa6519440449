"""Requirement files as uv writes them."""

import re
from pathlib import Path

_PIN = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s\\;]+)")


def pins(file: Path) -> dict[str, str]:
    """Package -> version."""
    return dict(_PIN.findall(file.read_text()))


def hashes(file: Path) -> dict[str, int]:
    """Package -> how many files of it are known by their hash."""
    return {
        match[1]: block.count("--hash=sha256:")
        for block in re.split(r"(?m)^(?=[A-Za-z0-9])", file.read_text())
        if (match := _PIN.match(block))
    }
