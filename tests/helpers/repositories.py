"""What tests assemble repositories with, and what lies in assembled ones."""

import json
from pathlib import Path
from typing import Any

from tests.helpers.paths import ASSETS

# The host settings of what is started for a few tests only; the shared server has those of the host.
FEW_PROCESSES = ASSETS / "few_processes.toml"


def manifest_of(assembled: Path) -> dict[str, Any]:
    return dict(json.loads((assembled / "manifest.json").read_text()))


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()
