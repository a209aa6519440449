"""The chart's objects are what Kubernetes and the custom resources' projects take, in each of its forms."""

import copy
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.helpers.charts import (
    CHART,
    KUBERNETES,
    VALUES,
    containers,
    helm,
    of_kind,
    only,
    pod_template,
    problems,
    render,
    template,
)
from tests.helpers.paths import ROOT

CUSTOM = {path.stem for path in (ROOT / "tests" / "assets" / "crd").glob("*.json")}


def test_every_object_of_every_form_is_valid_in_three_versions_of_kubernetes() -> None:
    assert len(VALUES) > 8
    manifests = [each for values in VALUES for each in render(values)]
    assert problems(manifests, versions=KUBERNETES) == []


def test_these_versions_get_the_same_objects() -> None:
    for values in ("everything", "kserve"):
        assert len({json.dumps(render(values, kubernetes=version)) for version in KUBERNETES}) == 1


def test_each_custom_resource_is_rendered_and_its_schema_refuses_a_field_that_is_not_there() -> None:
    manifests = [each for values in VALUES for each in render(values)]
    wrong = [copy.deepcopy(of_kind(kind, manifests)[0]) for kind in sorted(CUSTOM)]
    for each in wrong:
        (each["spec"].get("predictor") or each["spec"])["replicaz"] = 1
    found = problems(wrong, versions=["1.35"])
    assert [sentence.split()[0] for sentence in found if "its own schema" in sentence] == sorted(CUSTOM)
    assert all("replicaz" in sentence for sentence in found)


def test_a_wrong_field_in_a_pod_is_noticed_in_either_workload() -> None:
    deployment = copy.deepcopy(only("Deployment", render()))
    service = copy.deepcopy(only("InferenceService", render("kserve")))
    for spec in (deployment["spec"]["template"]["spec"], service["spec"]["predictor"]):
        spec["containers"][0]["livenessProbe"]["failureTreshold"] = 3
    found = problems([deployment, service], versions=["1.35"])
    assert len(found) == 2
    assert all("failureTreshold" in sentence for sentence in found)


def test_lint_finds_nothing() -> None:
    for values in VALUES:
        done = helm("lint", "--strict", str(CHART), "-f", str(CHART / "ci" / f"{values}-values.yaml"))
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_carries_what_its_links_lead_to_and_renders_the_same(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    assert all(member.isfile() for member in members.values())
    links = [path for path in (CHART / "files").rglob("*") if path.is_file()]
    assert {f"files/{path.relative_to(CHART / 'files')}" for path in links} <= set(members)
    assert members["files/photo.jpg"].size == (CHART / "files" / "photo.jpg").stat().st_size
    assert not [name for name in members if name.startswith("ci/")]
    assert template(chart=package).stdout == template().stdout


def test_a_kubernetes_without_the_sleep_action_sleeps_by_a_command() -> None:
    old, new = (
        pod_template(render(kubernetes=version))["spec"]["containers"][0] for version in ("1.29", "1.30")
    )
    assert old["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "10"]}}
    assert new["lifecycle"]["preStop"] == {"sleep": {"seconds": 10}}
    assert problems(render(kubernetes="1.29"), versions=["1.29"]) == []


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    done = template(kubernetes="1.26")
    assert done.returncode != 0
    assert "kubeVersion" in done.stderr


def test_the_chart_is_of_the_projects_version_and_images_have_its_tags() -> None:
    chart = helm("show", "chart", str(CHART)).stdout
    version = next(
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version = ")
    )
    assert f"appVersion: {version}\n" in chart
    for values, variant in (("default", "gpu"), ("cpu", "cpu")):
        images = {each["image"] for each in containers(pod_template(render(values))["spec"])}
        assert images == {f"q-face:{version}-{variant}"}


def test_a_digest_wins_over_the_tag() -> None:
    images = {each["image"] for each in containers(pod_template(render("tls-keys"))["spec"])}
    (image,) = images
    assert image.startswith("registry.example/q-face@sha256:")


def test_names_stay_short_enough_for_labels() -> None:
    done = helm("template", "a" * 53, str(CHART), "--set", "workload=inferenceService")
    assert done.returncode == 0, done.stderr
    names = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  name: ")]
    assert names
    assert max(map(len, names)) <= 63


def test_rules_and_dashboard_are_those_of_the_project_to_the_letter() -> None:
    monitoring = ROOT / "deploy" / "monitoring"
    groups = [
        group
        for path in sorted((monitoring / "rules").glob("*.yaml"))
        for group in yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["groups"]
    ]
    assert len(groups) > 3
    assert only("PrometheusRule", render("everything"))["spec"]["groups"] == groups
    dashboard = only("ConfigMap", render("everything"), name="faces-dashboard")
    assert dashboard["data"] == {"q-face.json": (monitoring / "q-face.dashboard.json").read_text()}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.parametrize("values", VALUES)
def test_no_two_objects_of_a_kind_have_one_name(values: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in render(values)]
    assert len(names) == len(set(names))


def test_what_the_chart_asks_of_the_cluster_is_switched_off_by_default() -> None:
    assert not {each["kind"] for each in render()} & CUSTOM
    assert only("Service", render(), name="faces-now-q-face")["spec"]["type"] == "ClusterIP"


def test_without_its_rules_and_dashboard_a_chart_says_so(tmp_path: Path) -> None:
    bare = tmp_path / "q-face"
    shutil.copytree(CHART, bare, ignore=shutil.ignore_patterns("rules", "*.dashboard.json"))
    for name in ("rules", "dashboard"):
        done = template("--set", f"monitoring.{name}=true", chart=bare)
        assert done.returncode != 0
        assert f"monitoring.{name}: this package of the chart has no files/" in done.stderr


def test_a_budget_is_made_where_it_keeps_a_pod() -> None:
    assert len(of_kind("PodDisruptionBudget", render("cpu", "replicas=2"))) == 1
    assert not of_kind("PodDisruptionBudget", render("cpu", "replicas=1"))


def test_a_release_and_its_canary_are_two_jobs_to_prometheus() -> None:
    for values, kind in (("hpa", "PodMonitor"), ("keda", "ServiceMonitor")):
        monitor = only(kind, render(values))
        assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/instance"
        assert monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "faces-now"


def test_the_log_of_the_test_is_there_when_helm_reads_it() -> None:
    (pod,) = [each for each in of_kind("Pod", render()) if "helm.sh/hook" in each["metadata"]["annotations"]]
    assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_a_root_filesystem_is_writable_where_the_nodes_runtime_needs_that() -> None:
    manifests = render("gpu", "containerSecurityContext.readOnlyRootFilesystem=false")
    found = list(containers(pod_template(manifests)["spec"]))
    assert len(found) == 2
    assert not any(each["securityContext"]["readOnlyRootFilesystem"] for each in found)
