"""The dashboard: what its program makes is committed, its panels fit, and Grafana and Prometheus find it."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from deploy.monitoring.panels import COLUMNS, PANELS, queries
from tests.helpers.paths import ROOT
from tests.helpers.tools import TOOLS, require_tool

MONITORING = ROOT / "deploy" / "monitoring"
FILE = MONITORING / "q-face.dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())


def test_the_committed_dashboard_is_the_one_that_its_program_makes() -> None:
    require_tool("helm")  # of the same environment
    done = subprocess.run(
        [TOOLS / "python", "-m", "deploy.monitoring.dashboard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_panel_and_query_of_the_list_is_in_it() -> None:
    shown = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in shown] == [each.title for row in PANELS.values() for each in row]
    assert [target["expr"] for panel in shown for target in panel["targets"]] == queries()
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == list(PANELS)
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_no_panel_lies_over_another_or_beyond_the_edge() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_queries_name_variables_that_there_are() -> None:
    variables = {f"${variable['name']}" for variable in DASHBOARD["templating"]["list"]} | {
        "$__rate_interval"
    }
    words = {word.strip('",)]') for query in queries() for word in query.replace('"', " ").split()}
    used = {word[word.index("$") :].rstrip("])") for word in words if "$" in word}
    assert used
    assert used <= variables


@pytest.mark.parametrize("name", ["datasources", "dashboards"])
def test_what_grafana_is_provisioned_with_names_this_dashboard_and_this_source(name: str) -> None:
    (path,) = (MONITORING / "grafana" / "provisioning" / name).glob("*.yaml")
    content = yaml.safe_load(path.read_text())
    assert content["apiVersion"] == 1
    if name == "datasources":
        (source,) = content["datasources"]
        assert source["type"] == "prometheus"
        assert source["isDefault"]
    else:
        (provider,) = content["providers"]
        assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
