"""`make docs` has a page for every public module and guide, no link that leads nowhere, and loads nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from client.reference.docstrings import to_markdown
from client.reference.public_modules import public_modules
from tests.helpers.paths import ROOT

LINK = re.compile(r'(?:href|src)="([^"]*)"')
SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
ANCHOR = re.compile(r'\bid="([^"]*)"')


# The target's command, without what takes most of its time and is in no page: pandas, of which a type's name
# is shown, and the index of the search.
PAGES_ALONE = """
import runpy, sys, types
from pdoc import render

sys.modules["pandas"] = pandas = types.ModuleType("pandas")
pandas.DataFrame = type("DataFrame", (), {"__module__": "pandas"})
render.search_index = lambda modules: ""
runpy.run_module("reference", run_name="__main__")
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Every page that the target's command writes, by its place. What pdoc warns of ends it."""
    folder = tmp_path_factory.mktemp("reference") / "docs"
    makefile = (ROOT / "Makefile").read_text()
    assert "@PYTHONPATH=client $(FULL) -W error -m reference var/docs\n" in makefile
    command = [sys.executable, "-W", "error", "-c", PAGES_ALONE, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_every_public_module_and_every_guide_has_a_page(pages: dict[Path, str]) -> None:
    folder = min(pages, key=lambda path: len(path.parts)).parent
    names = {path.relative_to(folder).with_suffix("").as_posix() for path in pages}
    guides = {path.stem for path in (ROOT / "docs" / "client").glob("*.md")} - {"README"}
    assert names == {"index", *guides, *(name.replace(".", "/") for name in public_modules())}


def test_public_modules_are_those_without_an_underscore_that_the_package_promises() -> None:
    package = ROOT / "client" / "qface_client"
    found = {path.stem for path in package.iterdir() if not path.name.startswith("_")}
    promised = found - {"py", "cli", "measuring"}
    kinds = {f"kinds.{path.stem}" for path in (package / "kinds").glob("[a-z]*.py")}
    assert set(public_modules()) == {"qface_client", *(f"qface_client.{name}" for name in promised | kinds)}


def test_links_lead_to_pages_and_places_that_are_there(pages: dict[Path, str]) -> None:
    anchors = {path: set(ANCHOR.findall(text)) for path, text in pages.items()}
    assert [link for link in links(pages) if not is_there(*link, anchors)] == []


def test_a_page_loads_nothing_from_elsewhere(pages: dict[Path, str]) -> None:
    loaded = re.compile(r'(?:\bsrc="|<link [^>]*href="|url\(["\']?|@import ["\'])(?:https?:)?//[^"\')]*')
    assert [found for text in pages.values() for found in loaded.findall(text)] == []


def links(pages: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """Every link of a page to another file or place."""
    for path, text in pages.items():
        for target in dict.fromkeys(LINK.findall(SCRIPT.sub("", text))):
            if not target.startswith(("data:", "https://")):
                yield path, target


def is_there(page: Path, target: str, anchors: dict[Path, set[str]]) -> bool:
    """Whether a link leads to a place of a page."""
    file, _, anchor = unquote(target).partition("#")
    place = Path(os.path.normpath(page.parent / file)) if file else page
    return place in anchors and (not anchor or anchor in anchors[place])


def test_arguments_become_a_list() -> None:
    docstring = "What it does.\n`url`: where\nit is. `tls`: how.\n\n`not` an item."
    assert to_markdown(docstring) == "What it does.\n\n- `url`: where it is.\n- `tls`: how.\n\n`not` an item."
