"""deploy/container/compose.yaml as the real docker-compose reads it; no engine is needed for that."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.paths import ROOT

FOLDER = ROOT / "deploy" / "container"
FILE = FOLDER / "compose.yaml"
TLS_FILE = FOLDER / "compose.tls.yaml"
PROFILES = ("gpu", "cpu")
# The service that answers, and what comes before it, in each profile.
SERVICES = {"gpu": ("q-face", "prepare"), "cpu": ("q-face-cpu", "prepare-cpu")}
_UNITS = {"h": 3600, "m": 60, "s": 1}


def read_compose(
    program: Path,
    *,
    profile: str,
    files: Sequence[Path] = (FILE,),
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The project with one profile; ValueError where docker-compose refuses it or warns.

    docker-compose holds it against the Compose specification's JSON schema, and against its own rules.
    """
    done = subprocess.run(
        [
            program,
            *(word for file in files for word in ("--file", str(file))),
            *("--profile", profile, "config", "--format", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]} | dict(environment or {}),
    )
    if done.returncode or done.stderr:
        raise ValueError(f"docker-compose refuses {', '.join(map(str, files))}: {done.stderr}")
    project: dict[str, Any] = json.loads(done.stdout)
    return project


def seconds(duration: str) -> float:
    """Of "1m15s"."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", duration))


def words_of(service: Mapping[str, Any]) -> list[str]:
    """What the service runs."""
    return [*service["entrypoint"], *(service["command"] or ())]


def tmpfs_of(service: Mapping[str, Any]) -> dict[str, str]:
    """The service's tmpfs folders with their mount options."""
    return {place: options for place, _, options in (line.partition(":") for line in service["tmpfs"])}
