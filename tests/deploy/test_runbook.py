"""The runbook's commands: those that need nothing else are run, and all options that it names exist."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

from tests.helpers.paths import ROOT

RUNBOOK = (ROOT / "deploy" / "RUNBOOK.md").read_text()
RUN_HERE = re.compile(r"<!-- run by \S+ -->\n```bash\n(.*?)```", re.DOTALL)


def run(commands: str, *, folder: Path) -> str:
    """The output of lines of a shell, with the serving environment's Python as `python`."""
    variables = os.environ | {
        "PATH": f"{ROOT / '.venv-serve' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_key_is_rotated_by_the_commands_of_the_runbook(tmp_path: Path) -> None:
    (commands,) = RUN_HERE.findall(RUNBOOK)
    run("python -m deploy.gateway keys add shop-2025 --file keys.toml", folder=tmp_path)
    listed = run(commands, folder=tmp_path)
    assert "shop-2025" in listed
    assert "shop-2026" in listed
    keys = tomllib.loads((tmp_path / "keys.toml").read_text())
    assert "shop-2026" in str(keys)
    assert "shop-2025" not in str(keys)
    assert (tmp_path / "shop-2026.key").read_text().strip()
    assert (tmp_path / "shop-2026.key").read_text().strip() not in (tmp_path / "keys.toml").read_text()


def test_headings_that_the_runbook_links_to_exist() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    }
    linked = set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK))
    assert linked
    assert linked <= headings


def test_commands_for_a_cluster_name_the_namespace() -> None:
    """Without it kubectl takes the default one, and a key that leaked would still be good."""
    commands = re.findall(r"(?:^|[`|;&] ?)((?:kubectl|helm) [a-z-][^`|;\n]+)", RUNBOOK, re.MULTILINE)
    without = [
        command
        for command in commands
        if not re.search(r" -n vision\b", command)
        and not re.match(r"kubectl (create namespace|drain)\b", command)
        and command != "helm test"  # the word in a sentence
    ]
    assert len(commands) > 30
    assert without == []
