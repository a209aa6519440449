"""The chart, rendered by the real helm, as objects."""

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

CHART = ROOT / "deploy" / "helm" / "q-face"
RELEASE = "faces-now"
NAMESPACE = "vision"
# Those that are rendered as a whole: each a file of the chart's folder ci/.
VALUES = tuple(
    sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
)
KUBERNETES = ("1.33", "1.35", "1.37")

Manifest = dict[str, Any]


def helm(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs helm, which needs no cluster for what is done here."""
    return subprocess.run(
        [str(require_tool("helm")), *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def template(*words: str, chart: Path = CHART, kubernetes: str = "1.35") -> subprocess.CompletedProcess[str]:
    """`helm template` of the chart with further words."""
    return helm("template", RELEASE, str(chart), "-n", NAMESPACE, "--kube-version", kubernetes, *words)


@functools.cache
def render(values: str = "default", *settings: str, kubernetes: str = "1.35") -> tuple[Manifest, ...]:
    """All objects of a file of ci/ with further --set words. They are shared: nobody changes them."""
    words = [word for setting in settings for word in ("--set", setting)]
    done = template("-f", str(CHART / "ci" / f"{values}-values.yaml"), *words, kubernetes=kubernetes)
    assert done.returncode == 0, done.stderr
    return tuple(
        manifest for manifest in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if manifest is not None
    )


def of_kind(kind: str, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Those of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def only(kind: str, manifests: Sequence[Manifest], *, name: str | None = None) -> Manifest:
    """The one of a kind, and of a name if one is given."""
    (found,) = (each for each in of_kind(kind, manifests) if name in (None, each["metadata"]["name"]))
    return found


def pod_template(manifests: Sequence[Manifest]) -> Manifest:
    """Labels, annotations and spec of the pods that serve, whoever makes them."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            made: Manifest = manifest["spec"]["template"]
            return {**made["metadata"], "spec": made["spec"]}
        if manifest["kind"] == "InferenceService":
            predictor = manifest["spec"]["predictor"]
            return {key: predictor[key] for key in ("labels", "annotations")} | {"spec": predictor}
    raise AssertionError("nothing serves")


def containers(spec: Mapping[str, Any]) -> Iterator[Manifest]:
    """Of a pod, those that prepare too."""
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def pods(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The specs of all pods of a release: those that serve, and the test's."""
    return [pod_template(manifests)["spec"], *(pod["spec"] for pod in of_kind("Pod", manifests))]


def problems(manifests: Sequence[Manifest], *, versions: Sequence[str] = ()) -> list[str]:
    """What Kubernetes' and the custom resources' schemas refuse, a sentence each."""
    python = require_tool("kubernetes-validate").with_name("python")
    script = Path(__file__).with_name("validate_manifests.py")
    asked = json.dumps(
        {"versions": versions, "manifests": manifests, "schemas": str(ROOT / "tests/assets/crd")}
    )
    done = subprocess.run(
        [str(python), str(script)], input=asked, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found
