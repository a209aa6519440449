"""Alert rules: valid, firing when they are to, naming what exists, each with its place in the runbook."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.gateway.observability.metrics import REQUEST_BUCKETS
from deploy.monitoring.answer_reference import LEAST_DEVIATION
from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

MONITORING = ROOT / "deploy" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yaml"))
CASES = sorted((MONITORING / "rules" / "tests").glob("*.yaml"))
CONFIGURATIONS = sorted(MONITORING.glob("prometheus*.yml"))
STATE = re.compile(r'alertstate="(\w+)"(?:, job="([^"]+)")?')


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run([require_tool("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
EXPRESSIONS = "\n".join(rule["expr"] for rule in rules())


def test_rules_are_valid() -> None:
    assert RULES
    promtool("check", "rules", *RULES)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_configurations_of_prometheus_are_valid_and_load_all_rules(path: Path) -> None:
    promtool("check", "config", path)
    (pattern,) = yaml.safe_load(path.read_text())["rule_files"]
    assert sorted(MONITORING.glob(pattern)) == RULES


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_are_to_and_only_then(path: Path) -> None:
    promtool("test", "rules", path)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    states: dict[str, set[str]] = {}
    silent: set[str] = set()
    for path in CASES:
        for group in yaml.safe_load(path.read_text())["tests"]:
            expected = [
                found
                for case in group["promql_expr_test"]
                for sample in case["exp_samples"]
                for found in STATE.findall(sample["labels"])
            ]
            states.setdefault(group["name"], set()).update(state for state, _ in expected)
            firing = {job for state, job in expected if state == "firing"}
            jobs = {
                job for each in group["input_series"] for job in re.findall(r'job="([^"]+)"', each["series"])
            }
            if jobs - firing:
                silent.add(group["name"])
    assert set(states) == set(ALERTS) == silent
    for name, rule in ALERTS.items():
        assert "firing" in states[name], name
        if "for" in rule and rule["for"] != "1m":
            assert "pending" in states[name], name


def test_every_alert_has_a_severity_a_summary_and_its_heading_in_the_runbook() -> None:
    section = (ROOT / "deploy" / "RUNBOOK.md").read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == list(
        dict.fromkeys([name for name in _in_order() if name in ALERTS])
    )
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["annotations"]["runbook_url"].endswith(f"deploy/RUNBOOK.md#{name.lower()}")


def _in_order() -> list[str]:
    """The alerts of service, processes, GPUs and drift, in that order."""
    order = ("service", "processes", "gpu", "drift")
    text = "\n".join((MONITORING / "rules" / f"{name}.yaml").read_text() for name in order)
    return re.findall(r"- alert: (\w+)", text)


def test_bounds_of_latency_are_buckets_of_the_histogram() -> None:
    bounds = {float(bound) for bound in re.findall(r'le="([0-9.]+)"', EXPRESSIONS)}
    assert bounds
    assert bounds <= set(REQUEST_BUCKETS)


def test_words_in_labels_are_the_gateways_own() -> None:
    document = (ROOT / "docs" / "gateway.md").read_text()
    words = {
        word
        for label, value in re.findall(r'(reason|event|result|outcome)=~?"([^"]+)"', EXPRESSIONS)
        for word in value.split("|")
    }
    assert words
    assert {word for word in words if f"`{word}`" not in document} == set()


def test_every_bound_is_set_once_and_used() -> None:
    bounds = [rule["record"] for rule in rules() if rule.get("record", "").startswith("qface:bound:")]
    assert len(bounds) == len(set(bounds)) > 0
    used = set(re.findall(r"scalar\((qface:bound:\w+)\)", EXPRESSIONS))
    assert used == set(bounds)


def test_every_recorded_series_that_is_named_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = set(re.findall(r"qface:[\w:]+", EXPRESSIONS))
    assert named <= recorded


def test_the_least_deviation_is_the_one_that_the_references_table_was_made_with() -> None:
    (rule,) = [rule for rule in rules() if rule.get("record") == "qface:bound:answer_least_deviation"]
    assert rule["expr"] == f"vector({LEAST_DEVIATION:g})"
