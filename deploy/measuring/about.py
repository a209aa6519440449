"""What a run was measured with: the machine, the commit, and what was served."""

import datetime
import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build.machine import describe
from build.manifest import MANIFEST
from deploy.embedded.environment import PROJECT
from deploy.measuring.model_parameters import model_instances, model_parameters

_ENGINE_SETTINGS = ("runtime", "precision", "threads", "streams")


def about(
    repository: Path, *, module: str, arguments: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Date, commit, command of the module, machine, what is served, and the settings of the run."""
    return {
        **run_header(module=module, arguments=arguments),
        "served": served_here(repository),
        "settings": dict(settings),
    }


def run_header(*, module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Date, commit, command and machine of a run that measures something."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": command(module, arguments),
        "machine": {**describe(), "memory_gib": _memory_gib()},
    }


def served_here(repository: Path) -> dict[str, Any]:
    """Of an assembled repository: contract, tasks, engine, detector, and the processes of each model."""
    manifest = json.loads((repository / MANIFEST).read_text())
    models = repository / "models"
    return {
        "contract": manifest["contract"],
        "tasks": manifest["tasks"],
        "engine": _settings(models / "face_engine"),
        "detector": {
            name: value
            for name, value in model_parameters(models / "photo_analysis").items()
            if name.startswith("detector")
        },
        # Of every model that is a process; an ensemble is none.
        "instances": {
            model.name: count for model in sorted(models.iterdir()) if (count := model_instances(model))
        },
    }


def command(module: str, arguments: Sequence[str]) -> str:
    """A module's command line; of a path outside the project the last name only: kept runs are public."""
    words = (Path(word).name if Path(word).is_absolute() else word for word in arguments)
    return shlex.join(("python", "-m", module, *words))


def commit() -> str:
    """The commit of the sources, with "+" where something was changed since; "" outside a git checkout."""
    try:
        head, changed = (
            subprocess.run(
                ["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")


def _settings(model: Path) -> dict[str, str]:
    parameters = model_parameters(model)
    return {name: parameters[name] for name in _ENGINE_SETTINGS if name in parameters}


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
