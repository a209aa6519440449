"""What no schema sees: the chart's objects fit each other, the gateway's command line and its times."""

import contextlib
import io
import math
import re
from collections.abc import Sequence

import pytest

from build.options import from_options, parser_of
from build.stages.repository_files import LINK
from deploy.gateway.operation.command_line import ServeCommand, parse_serve, stop_seconds
from deploy.gateway.operation.supervisor import Patience
from deploy.gateway.options import Tracing
from deploy.prepare.__main__ import Inputs as PrepareInputs
from deploy.prepare.engines import ENGINES
from tests.helpers.charts import (
    VALUES,
    Manifest,
    containers,
    of_kind,
    only,
    pod_template,
    pods,
    render,
)
from tests.helpers.paths import ROOT

BINARY = {"Mi": 2**20, "Gi": 2**30}


def gateway(manifests: Sequence[Manifest]) -> Manifest:
    """The gateway's container."""
    (container,) = pod_template(manifests)["spec"]["containers"]
    return dict(container)


def served(manifests: Sequence[Manifest]) -> ServeCommand:
    """What the gateway makes of its container's words."""
    words = list(gateway(manifests)["args"])
    assert words.pop(0) == "serve"
    problem = io.StringIO()
    try:
        with contextlib.redirect_stderr(problem):
            return parse_serve(words)
    except SystemExit:
        raise AssertionError(problem.getvalue()) from None


def size(quantity: str) -> int:
    return int(float(quantity[:-2]) * BINARY[quantity[-2:]])


@pytest.mark.parametrize("values", VALUES)
def test_the_gateway_takes_its_words(values: str) -> None:
    manifests = render(values)
    command = served(manifests)
    options = command.options
    assert gateway(manifests)["command"][1:] == ["-m", "deploy.gateway"]
    assert (options.host, command.check, command.direct) == ("0.0.0.0", False, False)
    ports = {port["name"]: port["containerPort"] for port in gateway(manifests)["ports"]}
    assert ports.get("grpc", ports.get("h2c")) == options.grpc_port
    assert ports["http"] == options.http_port
    assert ports.get("rest") == (None if options.no_rest else options.rest_port)
    identity = options.identity
    assert identity.insecure == (identity.keys is None and identity.client_authorities is None)
    assert (identity.certificate is None) == (identity.private_key is None)


def test_every_setting_of_the_values_reaches_the_gateway() -> None:
    options = served(render("everything")).options
    limits = options.limits
    assert (options.start_timeout, options.drain_seconds, options.grace_seconds) == (240, 45, 25)
    assert (limits.request_bytes, limits.waiting_bytes, limits.connections) == (33554432, 1073741824, 8192)
    assert (limits.megapixels, limits.queue_seconds, limits.triton_seconds) == (25.5, 1.5, 0.5)
    assert (options.processes, options.repair.standby, options.repair.canary_seconds) == (2, "never", 10)
    assert options.triton_arguments == ("--log-verbose=1",)
    assert str(options.access_log) == "-"


def test_a_gpu_is_served_by_the_images_triton_and_a_cpu_by_the_wheels() -> None:
    assert str(served(render("gpu")).options.triton) == "/opt/tritonserver"
    assert served(render("cpu")).options.triton is None


def test_traces_are_off_unless_there_is_a_collector() -> None:
    assert served(render()).options.tracing == Tracing()
    tracing = served(render("everything")).options.tracing
    assert tracing.otlp_endpoint == "http://collector.observability:4318"
    assert tracing.trace_ratio == 0.1


def prepared(manifests: Sequence[Manifest]) -> PrepareInputs:
    """What deploy.prepare makes of its container's words."""
    (container,) = pod_template(manifests)["spec"]["initContainers"]
    assert container["command"][1:] == ["-m", "deploy.prepare"]
    parser = parser_of(PrepareInputs, program="prepare", description=None)
    return from_options(PrepareInputs, parser.parse_args(container["args"]))


@pytest.mark.parametrize("values", VALUES)
def test_what_prepares_takes_its_words_and_makes_what_the_gateway_serves(values: str) -> None:
    inputs, options = prepared(render(values)), served(render(values)).options
    assert inputs.state / LINK == options.repository
    assert (inputs.overrides.target == "tensorrt") == (options.triton is not None)
    assert f"{inputs.state / ENGINES}" == "/var/lib/q-face/engines"


def test_every_setting_of_the_values_reaches_what_prepares() -> None:
    manifests = render("everything")
    overrides = prepared(manifests).overrides
    assert (overrides.precision, overrides.tasks) == ("int8", ("age", "expression"))
    assert str(overrides.weights) == "weights/qface-tiny.onnx"
    assert (ROOT / str(overrides.weights)).exists()
    (container,) = pod_template(manifests)["spec"]["initContainers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (name,) = only("ConfigMap", manifests, name="faces-notice")["data"]
    assert "--notice=" + mounts["notice"] + "/" + name in container["args"]
    assert prepared(render("cpu")).overrides.precision == "auto"
    assert prepared(render()).overrides.precision is None


@pytest.mark.parametrize("values", VALUES)
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(values: str) -> None:
    for spec in pods(render(values)):
        volumes = [volume["name"] for volume in spec["volumes"]]
        mounts = [mount for container in containers(spec) for mount in container["volumeMounts"]]
        assert len(volumes) == len(set(volumes))
        assert {mount["name"] for mount in mounts} == set(volumes)


@pytest.mark.parametrize("values", VALUES)
def test_every_path_that_the_gateway_writes_or_reads_is_on_a_volume(values: str) -> None:
    manifests = render(values)
    options = served(manifests).options
    places = {mount["mountPath"] for mount in gateway(manifests)["volumeMounts"]}
    identity = options.identity
    paths = [options.repository, options.cache, options.control, options.ready_file]
    paths += [identity.keys, identity.certificate, identity.private_key, identity.client_authorities]
    for path in paths:
        if path is not None:
            assert any(str(path).startswith(f"{place}/") for place in places), path
    assert {"/tmp", "/dev/shm", "/var/lib/q-face", "/run/q-face"} <= places
    secret = {
        item["path"]
        for volume in pod_template(manifests)["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        for item in source["secret"]["items"]
    }
    wanted = {str(path) for path in paths[4:] if path is not None}
    assert {f"/run/secrets/q-face/{path}" for path in secret} == wanted


@pytest.mark.parametrize("values", VALUES)
def test_the_pod_has_time_to_drain_and_to_stop(values: str) -> None:
    manifests = render(values)
    spec = pod_template(manifests)["spec"]
    asleep = gateway(manifests)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= asleep + stop_seconds(served(manifests).options) + 5


@pytest.mark.parametrize("values", VALUES)
def test_probes_leave_repair_to_the_gateway(values: str) -> None:
    manifests = render(values)
    container, options, patience = gateway(manifests), served(manifests).options, Patience()
    seconds = {
        name: container[f"{name}Probe"]["periodSeconds"] * container[f"{name}Probe"]["failureThreshold"]
        for name in ("startup", "readiness", "liveness")
    }
    paths = {
        name: (probe["path"], probe["port"])
        for name in seconds
        for probe in [container[f"{name}Probe"]["httpGet"]]
    }
    assert paths["liveness"] == ("/v2/health/live", "http")
    assert paths["startup"] == paths["readiness"] == ("/v2/health/ready", "http")
    assert seconds["startup"] > options.start_timeout
    # A main process that hangs is noticed, ended, and started again before the kubelet ends the pod.
    assert seconds["liveness"] > patience.heartbeat + patience.left_over + patience.longest_delay
    assert seconds["readiness"] <= 30


@pytest.mark.parametrize("values", VALUES)
def test_selectors_find_the_pods_that_serve_and_no_others(values: str) -> None:
    manifests = render(values)
    labels = pod_template(manifests)["labels"]
    selectors = [service["spec"]["selector"] for service in of_kind("Service", manifests)]
    selectors += [
        policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind("NetworkPolicy", manifests)
    ]
    for kind in ("PodDisruptionBudget", "Deployment", "PodMonitor"):
        selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(kind, manifests)]
    spread = pod_template(manifests)["spec"]["topologySpreadConstraints"]
    selectors += [each["labelSelector"]["matchLabels"] for each in spread]
    assert len(selectors) >= 7
    (test,) = of_kind("Pod", manifests)
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= test["metadata"]["labels"].items()


def test_two_releases_in_one_namespace_do_not_take_each_others_pods() -> None:
    selector = only("Service", render(), name="faces-now-q-face")["spec"]["selector"]
    assert selector["app.kubernetes.io/instance"] == "faces-now"


@pytest.mark.parametrize("values", VALUES)
def test_every_port_of_a_service_and_of_a_rule_is_one_of_the_pods(values: str) -> None:
    manifests = render(values)
    ports = {port["name"]: port["containerPort"] for port in gateway(manifests)["ports"]}
    for service in of_kind("Service", manifests):
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    for policy in of_kind("NetworkPolicy", manifests):
        allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert allowed == set(ports.values())
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind("Service", manifests)}
    for kind in ("GRPCRoute", "HTTPRoute"):
        for route in of_kind(kind, manifests):
            backend = route["spec"]["rules"][0]["backendRefs"][0]
            assert backend["port"] in {port["port"] for port in services[backend["name"]]}
    for monitor in of_kind("ServiceMonitor", manifests):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (found,) = (
            each for each in of_kind("Service", manifests) if wanted <= each["metadata"]["labels"].items()
        )
        assert [port["name"] for port in found["spec"]["ports"]] == ["http"]


@pytest.mark.parametrize("values", VALUES)
def test_every_pod_is_without_rights_as_the_restricted_profile_wants(values: str) -> None:
    kinds = {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for spec in pods(render(values)):
        assert {key for volume in spec["volumes"] for key in volume} <= kinds | {"name"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["automountServiceAccountToken"] is False
        pod = spec["securityContext"]
        assert (pod["runAsNonRoot"], pod["runAsUser"], pod["fsGroup"]) == (True, 10001, 10001)
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(spec):
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert re.search(r":\d|@sha256:", container["image"])
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("values", VALUES)
def test_secrets_are_named_and_never_carried(values: str) -> None:
    manifests = render(values)
    assert not of_kind("Secret", manifests)
    for each in of_kind("ConfigMap", manifests):
        assert "PRIVATE KEY" not in str(each["data"])
        assert "sha256 =" not in str(each["data"])
    for spec in pods(manifests):
        for container in containers(spec):
            assert all(set(entry) == {"name", "value"} for entry in container.get("env", ()))
        # 0440: the gateway refuses keys that others can read.
        modes = [
            volume["projected"]["defaultMode"] for volume in spec["volumes"] if volume["name"] == "secrets"
        ]
        assert modes in ([], [0o440])


@pytest.mark.parametrize("values", VALUES)
def test_memory_has_room_for_the_volumes_that_are_in_it(values: str) -> None:
    spec = pod_template(render(values))["spec"]
    in_memory = [
        size(volume["emptyDir"]["sizeLimit"])
        for volume in spec["volumes"]
        if volume.get("emptyDir", {}).get("medium") == "Memory"
    ]
    assert len(in_memory) == 3
    for container in containers(spec):
        assert sum(in_memory) + 2**30 <= size(container["resources"]["limits"]["memory"])


def test_a_gpu_is_given_to_what_builds_and_to_what_serves() -> None:
    for values, resource in (("gpu", "nvidia.com/gpu"), ("mig", "nvidia.com/mig-1g.10gb")):
        for container in containers(pod_template(render(values))["spec"]):
            assert (
                container["resources"]["requests"][resource]
                == container["resources"]["limits"][resource]
                == 1
            )
    for container in containers(pod_template(render("cpu"))["spec"]):
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert "tolerations" not in pod_template(render("cpu"))["spec"]


def test_all_pods_go_where_they_are_let_and_where_the_image_is() -> None:
    for values in ("default", "cpu", "everything"):
        served, asking = pods(render(values))
        for name in ("nodeSelector", "tolerations"):
            assert served.get(name) == asking.get(name)
    keys = [each["key"] for each in pods(render("everything"))[0]["tolerations"]]
    assert keys == ["nvidia.com/gpu", "dedicated"]


def test_shared_engines_are_the_only_thing_that_pods_share() -> None:
    for container in containers(pod_template(render("gpu"))["spec"]):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts["/var/lib/q-face/engines"] == "engines"
        assert mounts["/var/lib/q-face"] == "state"
    claim = only("PersistentVolumeClaim", render("gpu"))
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not of_kind("PersistentVolumeClaim", render("mig"))


def test_a_rollout_waits_as_long_as_a_pod_may_take() -> None:
    spec = only("Deployment", render())["spec"]
    startup = gateway(render())["startupProbe"]
    assert spec["progressDeadlineSeconds"] > 1800 + startup["periodSeconds"] * startup["failureThreshold"]


def test_the_number_of_pods_is_the_scalers_where_there_is_one() -> None:
    assert only("Deployment", render())["spec"]["replicas"] == 2
    for values in ("hpa", "keda"):
        assert "replicas" not in only("Deployment", render(values))["spec"]


def test_a_certificate_names_what_clients_and_gateways_call() -> None:
    manifests = render("tls-keys")
    certificate = only("Certificate", manifests)["spec"]
    policy = only("BackendTLSPolicy", manifests)["spec"]
    assert certificate["secretName"] == "q-face-tls"
    assert policy["validation"]["hostname"] in certificate["dnsNames"]
    assert {"faces.example", "faces-now-q-face-headless.vision.svc.cluster.local"} <= set(
        certificate["dnsNames"]
    )


def test_a_canary_gets_its_share() -> None:
    (rule,) = only("GRPCRoute", render("canary"))["spec"]["rules"]
    assert [(each["name"], each["weight"]) for each in rule["backendRefs"]] == [
        ("faces-now-q-face", 90),
        ("canary-q-face", 10),
    ]


def test_nothing_leaves_the_pods_but_traces() -> None:
    assert only("NetworkPolicy", render())["spec"]["egress"] == []
    collector, names = only("NetworkPolicy", render("everything"))["spec"]["egress"]
    assert [port["port"] for port in collector["ports"]] == [4318]
    assert {port["port"] for port in names["ports"]} == {53}


def test_kserve_finds_a_gateway_that_prepares_and_scales_nothing() -> None:
    predictor = only("InferenceService", render("kserve"))["spec"]["predictor"]
    assert predictor["minReplicas"] == predictor["maxReplicas"] == 3
    assert [each["name"] for each in predictor["initContainers"]] == ["prepare"]
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container"
    assert container["ports"][0]["name"] == "h2c"
    assert not of_kind("Deployment", render("kserve"))


def test_the_startup_probes_patience_is_rounded_up() -> None:
    for seconds, period in ((601, 5), (600, 7)):
        probe = gateway(
            render("default", f"probes.startup.seconds={seconds}", f"probes.startup.periodSeconds={period}")
        )["startupProbe"]
        assert probe["failureThreshold"] == math.ceil(seconds / period)
