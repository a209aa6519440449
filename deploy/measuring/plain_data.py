"""Measurements as JSON that people can read: floats of five digits, lists of numbers in one line."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LIST = re.compile(r"\[([^\[\]{}]*)\]")  # of values that are no lists themselves


def rounded(value: Any) -> Any:
    """The same plain data with floats of five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def write_json(value: Any, path: Path) -> None:
    """Keeps plain data, rounded, each list of numbers in a line."""
    text = json.dumps(rounded(value), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_LIST.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")
