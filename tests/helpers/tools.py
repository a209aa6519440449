"""Programs that tests of deployment run, where this machine has them."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TOOLS = ROOT / ".venv-deploy" / "bin"
LOAD_TOOLS = ROOT / ".venv-loadtest" / "bin"
# Program -> the environment that brings it. All else comes with `make .venv-deploy`.
ENVIRONMENTS = {"locust": LOAD_TOOLS.parent.name}
# Program -> Debian's package of it.
PACKAGES = {
    "chromium": "chromium",
    "debootstrap": "debootstrap",
    "nginx": "nginx-light",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}
# Set where a skip would hide what was to be tested: a missing program then fails the test.
REQUIRED = "QFACE_REQUIRE_TOOLS"


def find_tool(name: str) -> Path | None:
    """Where a program lies: in an environment of tools, else on PATH or in /usr/sbin; None without it."""
    searched = os.pathsep.join((str(TOOLS), str(LOAD_TOOLS), os.environ.get("PATH", os.defpath), "/usr/sbin"))
    found = shutil.which(name, path=searched)
    return Path(found) if found else None


def how_to_install(name: str) -> str:
    """The command that brings a program."""
    if name in PACKAGES:
        return f"apt-get install {PACKAGES[name]}"
    return f"make {ENVIRONMENTS.get(name, TOOLS.parent.name)}"


def require_tool(name: str) -> Path:
    """Where a program lies. Without it the test is skipped, or fails where QFACE_REQUIRE_TOOLS is set."""
    if found := find_tool(name):
        return found
    sentence = f"{name} is not installed: {how_to_install(name)}"
    if os.environ.get(REQUIRED):
        pytest.fail(sentence)
    pytest.skip(sentence)
