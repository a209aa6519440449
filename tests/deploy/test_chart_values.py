"""Values out of range are refused before anything reaches a cluster, with what is wrong and where."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.helpers.charts import CHART, helm, template

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.load((CHART / "values.yaml").read_text(), Loader=yaml.CSafeLoader)

# What `--set-json` gets, and what the error names.
REFUSED = {
    "a value that is not there": ("gatway.processes=2", "additional properties 'gatway' not allowed"),
    "one inside another": (
        "gateway.proceses=2",
        "at '/gateway': additional properties 'proceses' not allowed",
    ),
    "no replicas": ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
    "a word for a number": ('replicas="two"', "at '/replicas': got string, want integer"),
    "another variant": ('variant="tpu"', "at '/variant': value must be one of 'gpu', 'cpu'"),
    "a privileged port": ("gateway.ports.grpc=80", "at '/gateway/ports/grpc': minimum: got 80, want 1,024"),
    "one port for two": ("gateway.ports.rest=8001", "gateway.ports are three different numbers"),
    "no front process": ("gateway.processes=0", "at '/gateway/processes': minimum"),
    "a negative drain": ("gateway.drainSeconds=-1", "at '/gateway/drainSeconds': minimum"),
    "a limit of nothing": (
        "gateway.limits.megapixels=0",
        "at '/gateway/limits/megapixels': exclusiveMinimum",
    ),
    "an unknown standby": ('gateway.standby="maybe"', "at '/gateway/standby': value must be one of"),
    "an environment from a Secret": (
        'gateway.env=[{"name":"A","valueFrom":{}}]',
        "at '/gateway/env/0': additional properties 'valueFrom' not allowed",
    ),
    "the tag latest": ('image.tag="latest"', "image.tag latest names another image tomorrow"),
    "half a digest": ('image.digest="sha256:12"', "at '/image/digest': 'sha256:12' does not match pattern"),
    "a GPU without a maker": ('gpu.resource="gpu"', "at '/gpu/resource': 'gpu' does not match pattern"),
    "no GPU": ("gpu.count=0", "at '/gpu/count': minimum"),
    "memory without a unit": ('sharedMemory.size="2"', "at '/sharedMemory/size': '2' does not match pattern"),
    "no room for shared memory": (
        'sharedMemory.size="15Gi"',
        "resources.limits.memory 16Gi has no room for sharedMemory.size 15Gi",
    ),
    "more wanted than allowed": (
        'resources.requests.memory="17Gi"',
        "resources.requests.memory 17Gi is more than resources.limits.memory 16Gi",
    ),
    "a precision of no engine": ('prepare.precision="fp4"', "at '/prepare/precision': value must be one of"),
    "a GPU's precision on a CPU": (
        'variant="cpu",prepare.precision="fp8"',
        "prepare.precision fp8 is none of variant cpu",
    ),
    "a CPU's precision on a GPU": (
        'prepare.precision="auto"',
        "prepare.precision auto is none of variant gpu",
    ),
    "nobody knows who calls": (
        'auth.keysSecret=""',
        "nothing tells who calls: name a Secret in auth.keysSecret",
    ),
    "everybody and some": ("auth.insecure=true", "auth.insecure serves everybody"),
    "mutual TLS without TLS": (
        'auth.clientCaSecret="ca",tls.enabled=false',
        "auth.clientCaSecret checks clients' certificates inside TLS",
    ),
    "TLS without a certificate": ('tls.secretName=""', "at '/tls/secretName': minLength"),
    "cert-manager without an issuer": (
        "tls.certManager.enabled=true",
        "at '/tls/certManager/issuer/name': minLength",
    ),
    "mutual TLS behind a Gateway": (
        'auth.clientCaSecret="ca",gatewayApi.parentRefs=[{"name":"edge"}]',
        "a Gateway that routes by calls shows no client's certificate",
    ),
    "mutual TLS behind an Ingress": (
        'auth.clientCaSecret="ca",ingress.enabled=true,ingress.host="a.example",ingress.tlsSecret="a"',
        "an Ingress shows no client's certificate",
    ),
    "a page at no port": (
        'gateway.rest=false,gateway.extraArgs=["--web"]',
        "gateway.extraArgs has --web, whose page is served at the port",
    ),
    "a route to no port": (
        'gateway.rest=false,gatewayApi.rest.enabled=true,gatewayApi.parentRefs=[{"name":"edge"}]',
        "gatewayApi.rest.enabled needs the port that gateway.rest false leaves out",
    ),
    "one name for two kinds of routes": (
        'gatewayApi.parentRefs=[{"name":"edge"}],gatewayApi.grpc.hostnames=["a.example"],'
        'gatewayApi.rest.enabled=true,gatewayApi.rest.hostnames=["a.example"]',
        "a.example is a hostname of both gatewayApi.grpc and gatewayApi.rest",
    ),
    "all names for two kinds of routes": (
        'gatewayApi.rest.enabled=true,gatewayApi.parentRefs=[{"name":"edge"}]',
        "gatewayApi.grpc and gatewayApi.rest need hostnames of their own",
    ),
    "a canary of itself": (
        'gatewayApi.canary.service="faces-now-q-face",gatewayApi.parentRefs=[{"name":"edge"}]',
        "gatewayApi.canary.service faces-now-q-face is this release's own Service",
    ),
    "more than all": ("gatewayApi.canary.percent=101", "at '/gatewayApi/canary/percent': maximum"),
    "an Ingress without a host": ("ingress.enabled=true", "at '/ingress/host': minLength"),
    "two scalers": (
        'autoscaling.kind="both"',
        "at '/autoscaling/kind': value must be one of 'none', 'hpa', 'keda'",
    ),
    "fewest above most": (
        "autoscaling.minReplicas=7",
        "autoscaling.minReplicas 7 is more than autoscaling.maxReplicas 6",
    ),
    "scaled to nothing": ("autoscaling.minReplicas=0", "at '/autoscaling/minReplicas': minimum"),
    "an age that is never reached": (
        'autoscaling.kind="hpa",autoscaling.queueAgeSeconds=0.8',
        "autoscaling.queueAgeSeconds 0.8 is never reached",
    ),
    "KEDA without Prometheus": ('autoscaling.kind="keda"', "at '/autoscaling/keda/serverAddress': minLength"),
    "KServe that is scaled here": (
        'workload="inferenceService",autoscaling.kind="hpa"',
        "scales the Deployment of this chart, and KServe makes its own",
    ),
    "a pod that may never go": (
        "replicas=1,podDisruptionBudget.minAvailable=1",
        "podDisruptionBudget.minAvailable 1 of at least 1 pod(s) lets no pod go",
    ),
    "pods that may never go": ('podDisruptionBudget.minAvailable="100%"', "lets no pod go"),
    "none away": (
        "podDisruptionBudget.maxUnavailable=0",
        "podDisruptionBudget.maxUnavailable 0 lets no pod go",
    ),
    "more than a share": (
        'podDisruptionBudget.maxUnavailable="101%"',
        "at '/podDisruptionBudget/maxUnavailable': '101%' does not match pattern",
    ),
    "a rollout that can't move": (
        "rollout.maxSurge=0",
        "rollout.maxSurge and rollout.maxUnavailable are both 0",
    ),
    "killed while it drains": (
        "termination.gracePeriodSeconds=60",
        "termination.gracePeriodSeconds 60 is shorter than the pod needs to end in order: balancerSeconds + "
        "gateway.drainSeconds + gateway.graceSeconds + 20 is 80",
    ),
    "ended while it starts": (
        "probes.startup.seconds=180",
        "probes.startup.seconds 180 would end a pod whose Triton still has gateway.startSeconds (180)",
    ),
    "ended while it is repaired": (
        "probes.liveness.failureThreshold=2",
        "probes.liveness ends a pod after 20 s, in which its supervisor may still be replacing the main",
    ),
    "root": ("podSecurityContext.runAsUser=0", "at '/podSecurityContext/runAsUser': minimum"),
    "root by default": (
        "podSecurityContext.runAsNonRoot=false",
        "at '/podSecurityContext/runAsNonRoot': value must be true",
    ),
    "a selector's label": (
        'podLabels={"app.kubernetes.io/name":"other"}',
        "invalid propertyName 'app.kubernetes.io/name'",
    ),
    "a collector without a scheme": (
        'tracing.endpoint="collector:4318"',
        "at '/tracing/endpoint': 'collector:4318' does not match pattern",
    ),
    "a collector that can't be reached": (
        'tracing.endpoint="http://collector:4318"',
        "tracing.endpoint is out of the pods' reach: name in networkPolicy.collector",
    ),
    "more than every request": ("tracing.ratio=2", "at '/tracing/ratio': maximum"),
    "a scrape each second": (
        'monitoring.interval="1s"',
        "at '/monitoring/interval': '1s' does not match pattern",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_values_that_can_not_work_are_refused_with_a_sentence(what: str) -> None:
    settings, sentence = REFUSED[what]
    words = [word for part in re.split(r",(?=[a-zA-Z.]+=)", settings) for word in ("--set-json", part)]
    done = template(*words)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert done.stdout == ""


def test_the_checks_hold_where_the_schema_is_passed_over() -> None:
    done = template("--skip-schema-validation", "--set", "auth.keysSecret=")
    assert "nothing tells who calls" in done.stderr


def _objects(schema: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """All parts of the schema that have properties, by their path."""
    found = {path: schema} if "properties" in schema else {}
    for name, part in schema.get("properties", {}).items():
        found |= _objects(part, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        found |= _objects(schema["items"], f"{path}[]")
    return found


def test_no_part_of_the_schema_takes_a_name_that_it_does_not_know() -> None:
    objects = _objects(SCHEMA)
    assert len(objects) > 40
    assert [path for path, part in objects.items() if part["additionalProperties"] is not False] == []


def _names(values: Any, path: str = "") -> set[str]:
    if not isinstance(values, dict) or not values:
        return {path}
    return {name for key, value in values.items() for name in _names(value, f"{path}.{key}".lstrip("."))}


def test_every_value_has_a_default_and_a_line_that_explains_it() -> None:
    known = {
        f"{path}.{name}".lstrip(".")
        for path, part in _objects(SCHEMA).items()
        if "[]" not in path
        for name, value in part["properties"].items()
        if "properties" not in value
    }
    # Where Kubernetes' own names follow, or labels, the value's own line explains it.
    open_ones = ("monitoring.dashboardLabels", "resources")
    given = {
        next((name for name in open_ones if value.startswith(f"{name}.")), value) for value in _names(VALUES)
    }
    known = {next((name for name in open_ones if value.startswith(f"{name}.")), value) for value in known}
    assert given == known - {"global"}
    lines = (CHART / "values.yaml").read_text().splitlines()
    explained = 0
    for number, line in enumerate(lines):
        if re.match(r"\s*[a-zA-Z]+: \S", line) and not re.match(
            r"\s*(- )?(cpu|memory|topologyKey|maxSkew|when)", line
        ):
            above = lines[number - 1].strip()
            assert above.startswith("#"), f"line {number + 1} of values.yaml has no explanation: {line}"
            explained += 1
    assert explained > 90


def test_the_values_are_shown_by_helm_as_they_stand() -> None:
    assert helm("show", "values", str(CHART)).stdout.strip() == (CHART / "values.yaml").read_text().strip()
