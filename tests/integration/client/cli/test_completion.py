"""`qface completion`: the scripts are valid, and bash completes commands, options and paths by one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qface_client import cli
from tests.helpers.paths import ROOT

DOCUMENT = " ".join((ROOT / "docs" / "client" / "command-line.md").read_text().split())


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def bash() -> str:
    found = shutil.which("bash")
    if found is None:
        pytest.skip("needs bash")
    return found


# Completes the words that are its arguments, as bash does when Tab is pressed behind the last.
_COMPLETE = """
source "$0"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_qface qface "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["qface", ""], ["analyze", "info", "completion"]),
        (["qface", "analyze", "--m"], ["--model", "--min-score", "--max-faces", "--min-face"]),
        (["qface", "analyze", "ph"], ["photo.jpg", "photos"]),
        (["qface", "analyze", "--draw", "ph"], ["photos"]),
        (["qface", "info", "--tls-c"], ["--tls-ca", "--tls-cert"]),
        (["qface", "completion", ""], ["bash", "zsh", "tcsh"]),
    ],
)
def test_bash_completes(
    bash: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    offered: list[str],
) -> None:
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "photos").mkdir()
    source = tmp_path / "completion.bash"
    source.write_text(script("bash", capsys))
    done = subprocess.run(
        [bash, "-c", _COMPLETE, str(source), *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(offered) <= {line.strip() for line in done.stdout.splitlines()}
    assert done.stderr == ""


def test_the_bash_script_is_valid(bash: str, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run([bash, "-n"], input=script("bash", capsys), text=True, check=True)


def test_other_shells_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("zsh", capsys).startswith("#compdef qface")
    assert "qface" in script("tcsh", capsys)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_script_and_the_help_have_one_place_for_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    (place,) = re.findall(
        rf"^# Of `qface completion {shell}` for (.*)\.$", script(shell, capsys), re.MULTILINE
    )
    with pytest.raises(SystemExit):
        cli.main(["completion", "--help"])
    assert f"{shell}: write it to {place}\n" in capsys.readouterr().out
    assert place.removeprefix("a file ") in DOCUMENT.replace("`", "")


def test_without_shtab_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 2
    assert "pip install shtab" in capsys.readouterr().err
