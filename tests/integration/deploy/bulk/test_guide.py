"""docs/bulk.md holds: its commands are commands, its program runs, and its tables have the files' columns."""

import contextlib
import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

import pyarrow.parquet
import pytest

from deploy.bulk.options import read_options
from deploy.bulk.photo import Cause
from deploy.bulk.statuses import MEANINGS
from deploy.bulk.tables import BELOW_QUALITY
from tests.helpers.bulk_runs import Ended, Run
from tests.helpers.documents import blocks, script
from tests.helpers.paths import ROOT

GUIDE = ROOT / "docs" / "bulk.md"
EXAMPLE = ROOT / "docs" / "examples" / "bulk_results.py"
COMMAND = "$ .venv-bulk/bin/python -m deploy.bulk "
TASKS = {"age", "expression"}

COMMANDS = [
    line.removeprefix(COMMAND)
    for block in blocks(GUIDE)
    if block.words[:1] == ("console",)
    for line in block.text.splitlines()
    if line.startswith(COMMAND)
]


def table(heading: str) -> list[str]:
    """What stands between ticks in the first column of the first table below a heading."""
    section = GUIDE.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert rows is not None, heading
    cells = [row.split("|")[1] for row in rows[0].splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_taken(line: str) -> None:
    options = read_options(shlex.split(line, comments=True))
    assert options.tasks
    assert options.output


def test_its_program_reads_what_a_run_has_written(computed: tuple[Run, Ended], tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "bulk").symlink_to(computed[0].folder)
    with contextlib.chdir(tmp_path):
        exec(compile(script(GUIDE), "docs/bulk.md", "exec"), {"__name__": "__main__"})


def test_the_example_reads_what_a_run_has_written(
    computed: tuple[Run, Ended], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = computed
    with mock.patch.object(sys, "argv", ["bulk_results.py", str(run.folder)]):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert f"'inputs': {len(run.photos)}" in printed
    assert f"of {len(run.faces)} faces" in printed
    assert all(row["reason"] in printed for row in run.photos if row["reason"])


def test_its_tables_have_the_columns_and_causes_that_there_are(computed: tuple[Run, Ended]) -> None:
    run, _ = computed
    photos, faces = (
        pyarrow.parquet.read_schema(run.folder / name / "part-000000.parquet") for name in ("photos", "faces")
    )
    documented = table("### photos/")
    assert [name for name in documented if name in photos.names] == photos.names
    assert set(documented) - set(photos.names) <= {BELOW_QUALITY}
    own = [name for name in faces.names if name.partition("_")[0].partition(".")[0] not in TASKS]
    assert set(own) <= set(table("### faces/"))
    text = GUIDE.read_text(encoding="utf-8")
    assert {f"| `{cause.value}` |" for cause in Cause} <= set(re.findall(r"\| `\w+` \|", text))
    for key in photos.metadata:
        assert f"`{key.decode()}`" in text, key


def test_its_statuses_are_those_of_the_command() -> None:
    text = GUIDE.read_text(encoding="utf-8").partition("| exit status |")[2].partition("\n\n")[0]
    stated = [
        int(number)
        for cell in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
        for number in cell.split(",")
    ]
    assert stated == list(MEANINGS)
