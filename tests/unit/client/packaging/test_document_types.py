"""The programs in the client's documents pass a strict type checker, as a user's own would."""

import re
from pathlib import Path

import pytest
from mypy import api

from tests.helpers.documents import PAGES, blocks, name_of, script
from tests.helpers.paths import ROOT


def test_they_pass_mypy_in_strict_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one run, as most of its time is the reading of numpy's types."""
    monkeypatch.chdir(ROOT)  # whose configuration, paths and cache it is
    pages = {}
    for page in PAGES:
        if text := script(page, untested=True):
            file = tmp_path / f"{name_of(page)[:-3].replace('/', '_').lower()}.py"
            file.write_text(text, encoding="utf-8")
            pages[str(file)] = name_of(page)
    assert pages
    printed, refused, _ = api.run(["--strict", "--no-error-summary", "--show-absolute-path", *pages])
    assert not refused, refused
    for path, page_name in pages.items():
        printed = printed.replace(path, page_name)
    assert printed == "", f"the lines are those of the pages:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_of_python_is_run_or_states_that_it_is_not(page: Path) -> None:
    words = {block.words for block in blocks(page) if block.words[:1] in (("python",), ("console",))}
    assert words <= {("python",), ("python", "notest"), ("console",), ("console", "notest")}
    assert len(re.findall(r"^```", page.read_text(), re.MULTILINE)) == 2 * len(blocks(page))
