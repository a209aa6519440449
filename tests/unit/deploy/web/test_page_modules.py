"""deploy/web/page: its modules keep the rooms that Python's have. No browser: the text alone."""

import re
from pathlib import Path

import pytest

from deploy.web.site import PAGE
from qface_client.kinds import KINDS

MODULES = sorted(PAGE.rglob("*.js"))
MAX_LINES = 400
MAX_MODULES = 16  # of a folder
FOREIGN = re.compile(r"https?://(?!www\.w3\.org/2000/svg)[a-z]")  # the name space of SVG is no address
NAMED = {path: path.relative_to(PAGE).as_posix() for path in MODULES}


def test_every_kind_that_the_client_reads_has_a_module() -> None:
    modules = {path.stem for path in (PAGE / "kinds").glob("*.js")}
    registered = set(
        re.findall(r'import \{ \w+ \} from "\./(\w+)\.js"', (PAGE / "kinds/index.js").read_text())
    )
    assert set(KINDS) <= modules & registered
    for name in KINDS:
        assert f'name: "{name}"' in (PAGE / "kinds" / f"{name}.js").read_text()


@pytest.mark.parametrize("path", MODULES, ids=NAMED.__getitem__)
def test_a_module_is_small_and_its_imports_are_there(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    for name in re.findall(r'(?:from|import\()\s*"(\.[^"]+)"', text):
        assert (path.parent / name).is_file(), name
    assert not FOREIGN.search(text)


def test_nothing_outside_a_kinds_module_names_it() -> None:
    names = "|".join(KINDS)
    named = re.compile(rf'\bkind\)?\s*(?:===?|!==?)\s*"(?:{names})"|case "(?:{names})"')
    assert [name for path, name in NAMED.items() if named.search(path.read_text())] == []


def test_folders_are_not_crowded() -> None:
    for folder in {path.parent for path in MODULES}:
        assert len(list(folder.glob("*.js"))) <= MAX_MODULES, folder


def test_index_and_styles_name_files_that_there_are_and_nothing_inline() -> None:
    index = (PAGE / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="web/([^"]+)"', index):
        assert (PAGE / name).is_file(), name
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?! type=\"module\" src=)", index)
    for style in PAGE.rglob("*.css"):
        text = style.read_text()
        assert not re.search(r"url\(|@import", text), style
        assert text.count("\n") <= MAX_LINES, style
