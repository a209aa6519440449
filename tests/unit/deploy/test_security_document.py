"""deploy/SECURITY.md: each promise names tests that exist, and its tables of uses follow the catalogue."""

import ast
import dataclasses
import functools
import re
from pathlib import Path

import pytest

from build.config import MODEL_REPOSITORY
from build.serving.notice import DEFAULT, LONGEST
from build.serving.pbtxt import parse
from runtime.contract import Contract
from tests.helpers.paths import ROOT
from training.tasks import CATALOGUE

DOCUMENT = (ROOT / "deploy" / "SECURITY.md").read_text()
PROMISES = "| | promise | held by |\n|---|---|---|\n"
TEST = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)(\[[^`]*\])?`")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Promise:
    """A line of a table of promises."""

    number: str
    tests: tuple[tuple[str, str, str], ...]  # file, function or Class::function, "[id]" or ""
    rest: str  # of the cell that names tests


def promises() -> list[Promise]:
    """Every line below the heading of a table of promises."""
    found = []
    for table in DOCUMENT.split(PROMISES)[1:]:
        for line in table.split("\n\n")[0].splitlines():
            _, number, _, held_by, _ = line.split("|")
            tests = tuple((match[1], match[2], match[3] or "") for match in TEST.finditer(held_by))
            found.append(Promise(number=number.strip(), tests=tests, rest=TEST.sub("", held_by)))
    return found


@functools.cache
def functions(path: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a test module, those of its classes as Class::function."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            inner = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}::{each.name}": each for each in inner}
    return found


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading of the third level, without its own heading."""
    section = DOCUMENT.split(f"\n### {title}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_promise_has_a_number_of_its_own_and_names_tests_only() -> None:
    found = promises()
    numbers = [promise.number for promise in found]
    assert len(numbers) > 40
    letters = dict.fromkeys(number[:1] for number in numbers)
    counted = [(letter, sum(number.startswith(letter) for number in numbers)) for letter in letters]
    assert numbers == [f"{letter}{number}" for letter, count in counted for number in range(1, count + 1)]
    assert [promise.number for promise in found if not promise.tests] == []
    assert [promise.number for promise in found if promise.rest.strip(" ,")] == []


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise.number)
def test_the_tests_of_a_promise_exist(promise: Promise) -> None:
    for file, name, parameter in promise.tests:
        path = ROOT / file
        assert name.rpartition("::")[2].startswith("test_"), f"{name} is run by nobody"
        found = functions(path).get(name) if path.is_file() else None
        assert found is not None, f"{file} has no {name}: did it move? deploy/SECURITY.md names it"
        decorators = [ast.unparse(each) for each in found.decorator_list]
        assert not any("skip(" in each or "xfail" in each for each in decorators), f"{name} is not run"
        assert not parameter or any("parametrize" in each for each in decorators), f"{name} has no parameters"


def test_what_the_text_refers_to_is_a_promise() -> None:
    numbers = {promise.number for promise in promises()}
    prose = DOCUMENT.split("### What the server does for it")[1]
    groups = re.findall(r"\(([A-Z]\d+(?:, [A-Z]\d+)*)\)", prose)
    referred = {number for group in groups for number in group.split(", ")}
    assert referred
    assert referred <= numbers


def test_the_place_for_reports_repeats_nothing() -> None:
    lines = (ROOT / "SECURITY.md").read_text().splitlines()
    assert [line for line in lines if len(line) > 30 and line in DOCUMENT] == []


def test_every_task_stands_once_in_the_table_of_rules() -> None:
    named = [name for tasks, *_ in rows("Which tasks they touch") for name in re.findall(r"`(\w+)`", tasks)]
    assert sorted(named) == sorted(CATALOGUE)


def test_what_deduces_race_is_served_only_where_it_is_named() -> None:
    """By the document's table, the catalogue and what is committed to be served by default."""
    of_race = {
        name
        for tasks, _, rules in rows("Which tasks they touch")
        if rules.startswith("5(1)(g)")
        for name in re.findall(r"`(\w+)`", tasks)
    }
    assert of_race == {task.name for task in CATALOGUE.values() if task.sensitive}
    configs = [parse(path.read_text()) for path in MODEL_REPOSITORY.glob("*/config.pbtxt")]
    contracts = {
        config.parameters["contract"].string_value for config in configs if "contract" in config.parameters
    }
    assert contracts
    assert not [text for text in contracts if of_race & set(Contract.parse(text).names)]
    assert not of_race & {config.name for config in configs}


def test_the_notice_is_described_as_it_is() -> None:
    assert f"up to {LONGEST:,} characters" in DOCUMENT
    (named,) = re.findall(r"[\w/]+\.md", DEFAULT)
    assert (ROOT / named).is_file()
