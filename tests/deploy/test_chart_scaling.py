"""What scales the chart's pods: queries that Prometheus takes, of series that the gateway has."""

import re
import subprocess
from pathlib import Path

import yaml

from tests.helpers.charts import CHART, only, render
from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

ADAPTER = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text())
PODS = 'namespace="vision",pod=~"faces-now-q-face-a|faces-now-q-face-b"'
SCALED = "overload|queue_timeout|memory|deadline"


def adapted() -> dict[str, str]:
    """The adapter's queries by the metric that they give, filled in as it fills them in."""
    return {
        rule["name"]["as"]: rule["metricsQuery"]
        .replace("<<.Series>>", re.match(r"\w+", rule["seriesQuery"])[0])  # type: ignore[index]
        .replace("<<.LabelMatchers>>", PODS)
        .replace("<<.GroupBy>>", "pod")
        for rule in ADAPTER
    }


def triggers() -> dict[str, dict[str, str]]:
    """KEDA's triggers by their names."""
    found = only("ScaledObject", render("keda"))["spec"]["triggers"]
    return {trigger["name"]: trigger["metadata"] | {"kind": trigger["metricType"]} for trigger in found}


def test_the_autoscaler_wants_the_metrics_that_the_adapter_gives() -> None:
    metrics = only("HorizontalPodAutoscaler", render("hpa"))["spec"]["metrics"]
    assert {metric["pods"]["metric"]["name"] for metric in metrics} == set(adapted())
    assert [metric["pods"]["target"]["averageValue"] for metric in metrics] == ["200m", "500m"]


def test_queries_name_series_and_reasons_of_the_gateway() -> None:
    guide = (ROOT / "docs" / "gateway.md").read_text()
    queries = [*adapted().values(), *(trigger["query"] for trigger in triggers().values())]
    for query in queries:
        series = set(re.findall(r"\bqface_\w+", query))
        assert series
        assert all(f"`{name}`" in guide or f"`{name}{{" in guide for name in series)
    for reason in SCALED.split("|"):
        assert f"`{reason}`" in guide
    assert sum(f'reason=~"{SCALED}"' in query for query in queries) == 2


def test_triggers_are_divided_by_the_number_of_pods_and_fall_back_where_prometheus_is_silent() -> None:
    spec = only("ScaledObject", render("keda"))["spec"]
    assert spec["fallback"]["replicas"] == spec["minReplicaCount"]
    for trigger in triggers().values():
        assert trigger["kind"] == "AverageValue"
        assert trigger["ignoreNullValues"] == "false"
        assert trigger["query"].startswith("sum(")
        (pods,) = re.findall(r'pod=~"([^"]+)"', trigger["query"])
        assert re.fullmatch(pods, "faces-now-q-face-5c9f7b8d6f-x2x4q")
        assert not re.fullmatch(pods, "faces-now-q-face-canary-5c9f7b8d6f-x2x4q")


def test_more_pods_come_faster_than_they_go() -> None:
    hpa = only("HorizontalPodAutoscaler", render("hpa"))["spec"]["behavior"]
    keda = only("ScaledObject", render("keda"))["spec"]["advanced"]["horizontalPodAutoscalerConfig"][
        "behavior"
    ]
    assert hpa == keda
    assert hpa["scaleUp"]["stabilizationWindowSeconds"] < hpa["scaleDown"]["stabilizationWindowSeconds"]
    assert hpa["scaleUp"]["policies"] == [{"type": "Pods", "value": 2, "periodSeconds": 60}]
    assert hpa["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]


def test_prometheus_computes_what_the_scalers_ask_for(tmp_path: Path) -> None:
    """Two pods, one of which has waiting requests and refuses; the other has refused nothing yet."""
    (tmp_path / "rules.yaml").write_text("groups: []\n")
    series = {
        "qface_gateway_oldest_wait_seconds": {"a": "0.6x10", "b": "0.2x10"},
        "qface_gateway_refused_total": {"a": "0+30x10"},  # a minute
    }
    adapter, keda = adapted(), triggers()
    expected = {
        adapter["qface_gateway_oldest_wait_seconds"]: {"a": 0.6, "b": 0.2},
        adapter["qface_gateway_overload_refusals_per_second"]: {"a": 0.5, "b": 0.0},
        keda["queue-age"]["query"]: {"": 0.8},
        keda["refusals"]["query"]: {"": 0.5},
    }
    pod = {name: f"faces-now-q-face-{name}" for name in "ab"}
    long = {name: f"faces-now-q-face-5c9f7b8d6f-x2x4{name}" for name in "ab"}
    tests = []
    for query, samples in expected.items():
        names = long if "[a-z0-9]+" in query else pod
        tests.append(
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": f'{name}{{namespace="vision",pod="{names[of]}"'
                        + (',reason="overload"}' if "refused" in name else "}"),
                        "values": values,
                    }
                    for name, by_pod in series.items()
                    for of, values in by_pod.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": "8m",
                        "exp_samples": [
                            {"labels": f'{{pod="{names[of]}"}}' if of else "{}", "value": value}
                            for of, value in samples.items()
                        ],
                    }
                ],
            }
        )
    file = tmp_path / "scaling_test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    done = subprocess.run(
        [str(require_tool("promtool")), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
