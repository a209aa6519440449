"""The Dockerfile fits repository, gateway and table of releases. check_debian_folder.py performs it."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest

from deploy.container.releases import read_releases
from deploy.gateway.options import GatewayOptions
from tests.helpers.build_context import DOCKERFILE, context_files
from tests.helpers.dockerfile import Dockerfile, Stage, read_dockerfile
from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

TARGETS = ("cpu", "gpu")
USER = "10001:10001"


@pytest.fixture(scope="module")
def dockerfile() -> Dockerfile:
    return read_dockerfile(DOCKERFILE)


@pytest.fixture(scope="module")
def sent() -> set[str]:
    return {path.as_posix() for path in context_files()}


def reached(dockerfile: Dockerfile, target: str) -> dict[str, Stage]:
    """The stages that a target stands on or copies from."""
    found: dict[str, Stage] = {}
    waiting = [target]
    while waiting:
        for stage in dockerfile.chain(waiting.pop()):
            if stage.name not in found:
                found[stage.name] = stage
                waiting += [copy.flags["from"] for copy in stage.all("COPY") if "from" in copy.flags]
    return found


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [require_tool("hadolint"), DOCKERFILE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_stage_is_used(dockerfile: Dockerfile) -> None:
    used = reached(dockerfile, "cpu") | reached(dockerfile, "gpu")
    assert set(used) == set(dockerfile.stages)


def test_the_folder_check_performs_all_of_the_cpu_target_and_can(dockerfile: Dockerfile) -> None:
    stages = reached(dockerfile, "cpu")
    bases = {stage.base for stage in stages.values()} - set(stages)
    assert bases == {"scratch", dockerfile.arguments["CPU_IMAGE"]}
    assert re.fullmatch(r"debian:[a-z]+-slim", dockerfile.arguments["CPU_IMAGE"])
    assert sum(len(stage.all("RUN")) for stage in stages.values()) >= 4


def test_the_gpu_target_stands_on_the_chosen_release(dockerfile: Dockerfile) -> None:
    chosen = read_releases().chosen
    assert dockerfile.image("gpu") == chosen.image
    lines = " ".join(run.text for run in dockerfile.stages["gpu-environment"].all("RUN"))
    assert f"lib/python{chosen.python}/site-packages" in lines


def test_bases_take_a_digest(dockerfile: Dockerfile, tmp_path: Path) -> None:
    text = DOCKERFILE.read_text()
    for name in ("CPU_DIGEST", "GPU_DIGEST"):
        text = text.replace(f'ARG {name}=""', f"ARG {name}=sha256:{name.lower()}")
    pinned = tmp_path / "Dockerfile"
    pinned.write_text(text)
    for target in TARGETS:
        plain = dockerfile.image(target)
        assert read_dockerfile(pinned).image(target) == f"{plain}@sha256:{target}_digest"


def test_what_is_copied_exists_and_is_sent(dockerfile: Dockerfile, sent: set[str]) -> None:
    looked_at = 0
    for stage in dockerfile.stages.values():
        for copy in stage.all("COPY"):
            if "from" in copy.flags:
                assert copy.flags["from"] in dockerfile.stages
                continue
            for source in copy.words()[:-1]:
                looked_at += 1
                assert any(path == source or path.startswith(source) for path in sent), source
                assert (ROOT / source).exists()
    assert looked_at > 8


def test_nothing_is_sent_that_no_line_copies(dockerfile: Dockerfile, sent: set[str]) -> None:
    sources = {
        source
        for stage in dockerfile.stages.values()
        for copy in stage.all("COPY")
        if "from" not in copy.flags
        for source in copy.words()[:-1]
    }
    assert not [path for path in sent if not any(path.startswith(source) for source in sources)]


def test_no_secret_picture_test_or_cache_is_sent(sent: set[str]) -> None:
    assert "LICENSE" in sent
    unwanted = re.compile(
        r"\.(key|pem|jpe?g|safetensors|pyc)$|^(tests|training|docs|\.)|/secrets/|keys\.toml$"
    )
    assert not [path for path in sent if unwanted.search(path)]


def test_both_images_are_used_alike(dockerfile: Dockerfile) -> None:
    cpu, gpu = (dockerfile.stages[target] for target in TARGETS)
    for keyword in ("USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "WORKDIR"):
        assert [one.text for one in cpu.all(keyword)] == [one.text for one in gpu.all(keyword)], keyword
    labels = [one.pairs({"VERSION": "1"}) for stage in (cpu, gpu) for one in stage.all("LABEL")]
    assert len(labels) == 2
    assert labels[0].keys() == labels[1].keys()
    assert labels[0].keys() >= {
        f"org.opencontainers.image.{name}" for name in ("title", "version", "licenses", "revision")
    }


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_in_particular(dockerfile: Dockerfile, target: str) -> None:
    stage = dockerfile.stages[target]
    made = " ".join(run.text for run in stage.all("RUN"))
    assert [user.text for user in stage.all("USER")] == [USER]
    assert "--uid 10001" in made
    assert "--gid 10001" in made
    assert "--owner=10001 --group=10001 --mode=0700 /var/lib/q-face /run/q-face" in made
    assert [volume.text for volume in stage.all("VOLUME")] == ["/var/lib/q-face"]


@pytest.mark.parametrize("target", TARGETS)
def test_ports_signal_and_health_are_the_gateways(dockerfile: Dockerfile, target: str) -> None:
    stage = dockerfile.stages[target]
    options = GatewayOptions(repository=Path("repository"))
    exposed = [int(port) for line in stage.all("EXPOSE") for port in line.words()]
    assert sorted(exposed) == sorted((options.grpc_port, options.rest_port, options.http_port))
    stop, health, entry = (stage.last(keyword) for keyword in ("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"))
    assert stop is not None
    assert health is not None
    assert entry is not None
    assert stop.text == "SIGTERM"
    script = json.loads(health.text.removeprefix("CMD "))[-1]
    assert (ROOT / Path(script).relative_to("/opt/q-face")).is_file()
    assert f"'{options.http_port}'" in (ROOT / Path(script).relative_to("/opt/q-face")).read_text()
    python, flag, module = entry.words()
    assert (python, flag) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("target", TARGETS)
def test_only_wheels_with_known_hashes_are_installed(dockerfile: Dockerfile, target: str) -> None:
    installs = [
        run.text
        for stage in reached(dockerfile, target).values()
        for run in stage.all("RUN")
        if " pip " in run.text and " install " in run.text
    ]
    assert installs
    for text in installs:
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "--no-cache-dir"} <= set(text.split())
        files = re.findall(r"--requirement (\S+)", text)
        assert files
        assert all((ROOT / file).is_file() for file in files)
    # What is installed in the last stage would leave pip's and apt's traces in it.
    assert not any("install " in run.text.split("&&")[0] for run in dockerfile.stages[target].all("RUN"))


def test_the_images_version_is_the_projects(dockerfile: Dockerfile) -> None:
    text = (ROOT / "client" / "qface_client" / "_version.py").read_text()
    match = re.search(r'__version__ = "([^"]+)"', text)
    assert match is not None
    for target in TARGETS:
        arguments = {k: v for one in dockerfile.stages[target].all("ARG") for k, v in one.pairs().items()}
        assert arguments["VERSION"] == match[1]


def test_the_reader_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM debian:bookworm-slim AS one\nADD a b\n")
    with pytest.raises(ValueError, match=":2: ADD is not known"):
        read_dockerfile(file)
    file.write_text("FROM debian:bookworm-slim\n")
    with pytest.raises(ValueError, match="without a name"):
        read_dockerfile(file)
