"""docs/gateway.md names every option, reason, metric and log field that there is, and none that is not."""

import argparse
import inspect
import re

import grpc
from prometheus_client.parser import text_string_to_metric_families

from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.operation.command_line import serve_parser
from tests.helpers.full_metrics import full_page
from tests.helpers.paths import ROOT

DOCUMENT = (ROOT / "docs" / "gateway.md").read_text()
# Where a word becomes a refusal's reason: as an argument, or kept for later.
REASON = re.compile(r'\b_?reason(?:: str)? ?= ?(?:.*, )?"([a-z_]+)"')

# Where something that happened is reported by a word.
EVENT = re.compile(r'event(?:\(\s*|=)"([a-z_]+)"(?: if [^"]* else "([a-z_]+)")?')


def section(title: str) -> str:
    """The text under a heading of the second level."""
    return DOCUMENT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(title: str) -> set[str]:
    """What stands in code in the first columns of a section's tables."""
    cells = re.findall(r"^\| (.*?) \|", section(title), re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


def series() -> dict[str, set[str]]:
    """Every series of the gateway's own, as the document names it -> its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(full_page()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name.startswith("qface_"):
            found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    return found


def test_every_option_stands_in_the_table_and_no_other() -> None:
    flags = {
        action.option_strings[-1]
        for action in serve_parser()._actions
        if action.help != argparse.SUPPRESS and action.option_strings != ["-h", "--help"]
    }
    assert first_cells("Options") == flags | {"-- ..."}


def test_defaults_are_those_of_the_options() -> None:
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| ([0-9.]+) \|", section("Options"), re.MULTILINE))
    defaults = {
        action.option_strings[-1]: action.default
        for action in serve_parser()._actions
        if isinstance(action.default, int | float) and not isinstance(action.default, bool)
    }
    assert {flag: float(value) for flag, value in rows.items()} == defaults


def test_every_reason_is_explained_and_no_other() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "deploy" / "gateway").rglob("*.py"))
    statuses = {code.name for code in grpc.StatusCode}
    in_code = set(REASON.findall(sources)) | set(re.findall(r'BY_MODEL = "(\w+)"', sources))
    assert first_cells("What clients get") - statuses == in_code


def test_every_event_is_explained_and_no_other() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "deploy" / "gateway").rglob("*.py"))
    in_code = {word for words in EVENT.findall(sources) for word in words} - {""}
    table = section("Metrics").split("| event |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) == in_code


def test_every_series_is_explained_with_its_labels_and_no_other() -> None:
    documented = {}
    for cell in first_cells("Metrics"):
        if cell.startswith("qface_"):
            name, _, labels = cell.rstrip("}").partition("{")
            documented[name] = set(labels.split(",")) - {""}
    assert documented == series()


def test_example_queries_name_series_that_exist() -> None:
    names = set(re.findall(r"qface_gateway_\w+", section("Metrics").split("```promql")[1].split("```")[0]))
    known = {name + end for name in series() for end in ("", "_sum", "_count", "_bucket")}
    assert names <= known


def test_every_field_of_the_access_log_is_explained_and_no_other() -> None:
    fields = set(inspect.signature(AccessLog.write).parameters) - {"self"}
    assert first_cells("Access log") == fields | {"time"}
