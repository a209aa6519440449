"""The documents name files, modules, commands and code that exist.

Nothing is imported or run: sources are read as text.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

DOCUMENTS = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "training" / "README.md",
        ROOT / "weights" / "README.md",
        ROOT / "client" / "README.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "deploy").rglob("*.md")),
        ROOT / ".pre-commit-config.yaml",
        ROOT / "Makefile",
    )
)
ROOMS = "runtime|training|build|model_repository|client|deploy|tests|weights|requirements|docs|benchmarks"
NO_ROOMS = {"weights/", "requirements/", "docs/", "benchmarks/"}
PACKAGES = "runtime|training|build|deploy|qface_client|tests"
MAKE = r"make((?: [a-z.][a-z-]*(?=[\s`]|$))+)"
# What the worked examples add to a copy of the sources.
ADDED = {
    "runtime/kinds/ordinal.py",
    "training/kinds/ordinal.py",
    "client/qface_client/kinds/ordinal.py",
    "build/backends/numpy_reference.py",
    "runtime/engines/numpy_reference.py",
}

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
EXCERPT = re.compile(r"<!-- excerpt: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
EXCERPTS = EXCERPT.findall(CONTRIBUTING)


def module_file(name: str) -> Path | None:
    """The file of a module or package; None where there is none."""
    root = ROOT / "client" if name.split(".")[0] == "qface_client" else ROOT
    place = root.joinpath(*name.split("."))
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def is_command(name: str) -> bool:
    """Whether `python -m name` runs something."""
    main = module_file(f"{name}.__main__")
    module = module_file(name)
    return main is not None or (module is not None and '__name__ == "__main__"' in module.read_text())


def exists(name: str) -> bool:
    """Whether a dotted name is a module, a folder of modules, or something that a module defines."""
    if module_file(name) or ROOT.joinpath(*name.split(".")).is_dir():
        return True
    parent, _, attribute = name.rpartition(".")
    owner = module_file(parent) if parent else None
    return owner is not None and re.search(rf"\b{attribute}\b", owner.read_text()) is not None


def is_there(path: str, *, beside: Path) -> bool:
    """Whether a path leads to a file or folder of ours; also without its suffix ("weights/qface-tiny")."""
    for root in (ROOT, beside, ROOT / "client"):
        place = root / path
        if place.exists() or (place.parent.is_dir() and any(place.parent.glob(f"{place.name}.*"))):
            return True
    return False


def words(pattern: str, document: str) -> Iterator[str]:
    """What a pattern's first group finds in a document, each once."""
    text = (ROOT / document).read_text()
    yield from dict.fromkeys(match[1] for match in re.finditer(pattern, text, re.MULTILINE))


def test_each_worked_example_is_followed_by_a_test() -> None:
    followed = re.findall(r"^\*Followed by\* `(\S+?)`", CONTRIBUTING, re.MULTILINE)
    assert len(followed) == 4
    assert set(followed) <= {path for path, _ in EXCERPTS}
    assert CONTRIBUTING.count("```python") == len(EXCERPTS)


@pytest.mark.parametrize(("path", "code"), EXCERPTS, ids=[path for path, _ in EXCERPTS])
def test_an_excerpt_is_code_of_its_test(path: str, code: str) -> None:
    """Lines of dots stand for what is left out; the rest follows in this order."""
    text, start = (ROOT / path).read_text(), 0
    for part in re.split(r"^ *\.\.\.\n", code, flags=re.MULTILINE):
        found = text.find(part.strip("\n"), start)
        assert found >= 0, f"{path} does not have, in this order:\n{part}"
        start = found + len(part)


def test_the_examples_add_files_that_a_test_writes_and_that_are_not_there() -> None:
    tests = "".join((ROOT / path).read_text() for path, _ in EXCERPTS)
    for path in ADDED:
        assert f"`{path}`" in CONTRIBUTING
        assert f'"{Path(path).name}").write_text' in tests
        assert not (ROOT / path).exists()


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "Makefile"])
def test_paths_in_documents_exist(document: str) -> None:
    pattern = rf"(?<![\w./$-])((?:{ROOMS})/[\w./-]*\w)"
    missing = [
        path
        for path in words(pattern, document)
        if path not in ADDED and not is_there(path, beside=(ROOT / document).parent)
    ]
    assert not missing


def test_the_rooms_have_what_the_map_names_in_them() -> None:
    rows = re.findall(r"^\| `(\w+/)` \|(.*?)\|", (ROOT / "docs/ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert {room for room, _ in rows} == {f"{room}/" for room in ROOMS.split("|")} - NO_ROOMS
    missing = [
        room + name
        for room, text in rows
        for name in re.findall(r"`([\w/]+(?:/|\.py))`", text)
        if not any((ROOT / room).rglob(name.rstrip("/")))
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    links = words(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document)
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_modules_in_documents_exist(document: str) -> None:
    pattern = rf"(?<![\w./@-])((?:{PACKAGES})(?:\.[a-z_]\w*)+)"
    missing = [name for name in words(pattern, document) if not name.endswith(".py") and not exists(name)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document: str) -> None:
    modules = words(rf"-m ((?:{PACKAGES})(?:\.\w+)*)", document)
    assert [name for name in modules if not is_command(name)] == []
    targets = set(re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= {".venv", ".venv-serve", ".venv-teachers", ".venv-fuzz", ".venv-peers", ".venv-deploy"}
    # At the start of a line of code, or in text between ticks.
    text = (ROOT / document).read_text()
    code = "".join(text.split("```")[1::2])
    lines = re.findall(rf"(?:^ *|&& ){MAKE}", code, re.MULTILINE)
    lines += re.findall(rf"(?:`|entry: ){MAKE}", text)
    assert not {target for line in lines for target in line.split()} - targets
