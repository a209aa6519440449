"""What lies in assembled repositories, for tests."""

import json
from pathlib import Path
from typing import Any


def manifest_of(assembled: Path) -> dict[str, Any]:
    return dict(json.loads((assembled / "manifest.json").read_text()))


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()
