"""compose.yaml is what docker-compose takes, and its words fit the image, the gateway and what watches it."""

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.options import from_options, parser_of
from deploy.container.__main__ import gateway_command
from deploy.gateway.operation.command_line import parse_serve, stop_seconds
from deploy.prepare.__main__ import Inputs
from tests.helpers.build_context import DOCKERFILE
from tests.helpers.compose import (
    FILE,
    PROFILES,
    SERVICES,
    TLS_FILE,
    read_compose,
    seconds,
    tmpfs_of,
    words_of,
)
from tests.helpers.dockerfile import read_dockerfile
from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

WATCHING = {"prometheus", "grafana", "otel-collector"}
GIGABYTE = 1 << 30
SECRETS = Path("/run/secrets/q-face")


def project(profile: str, *files: Path) -> dict[str, Any]:
    return read_compose(require_tool("docker-compose"), profile=profile, files=(FILE, *files))


@pytest.fixture(scope="module")
def projects() -> dict[str, dict[str, Any]]:
    return {profile: project(profile) for profile in PROFILES}


def service(projects: dict[str, dict[str, Any]], profile: str) -> dict[str, Any]:
    found: dict[str, Any] = projects[profile]["services"][SERVICES[profile][0]]
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_its_services(projects: dict[str, dict[str, Any]], profile: str) -> None:
    wanted = {*SERVICES[profile], *WATCHING} | ({"dcgm-exporter"} if profile == "gpu" else set())
    assert set(projects[profile]["services"]) == wanted


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_mounted_from_the_repository_exists(
    projects: dict[str, dict[str, Any]], profile: str
) -> None:
    mounted = [
        Path(volume["source"])
        for one in projects[profile]["services"].values()
        for volume in one.get("volumes", ())
        if volume["type"] == "bind" and volume["target"] != str(SECRETS)
    ]
    assert len(mounted) >= 5
    assert not [path for path in mounted if not path.exists() or not path.is_relative_to(ROOT)]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_gateway_takes_what_it_is_given(projects: dict[str, dict[str, Any]], profile: str) -> None:
    one = service(projects, profile)
    python, flag, module, command, *words = words_of(one)
    assert (python, flag, module, command) == ("python", "-m", "deploy.gateway", "serve")
    options = parse_serve(words).options
    assert options.identity.keys == SECRETS / "keys.toml"
    (mounted,) = (volume for volume in one["volumes"] if volume["target"] == str(SECRETS))
    assert (mounted["type"], mounted["read_only"]) == ("bind", True)
    # A folder that is not there is no empty one of root's.
    assert mounted["bind"]["create_host_path"] is False
    assert options.control is not None
    assert options.control.parent == Path("/run/q-face")
    ports = {port["target"] for port in one["ports"]}
    assert ports == {options.grpc_port, options.rest_port, options.http_port}
    # Health and metrics have no keys.
    assert [port["target"] for port in one["ports"] if port.get("host_ip") == "127.0.0.1"] == [
        options.http_port
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_and_the_image_alone_serve_alike(projects: dict[str, dict[str, Any]], profile: str) -> None:
    stage = read_dockerfile(DOCKERFILE).stages[profile]
    environment = {name: value for one in stage.all("ENV") for name, value in one.pairs().items()}
    keys = "--keys=/run/secrets/q-face/keys.toml"
    alone = parse_serve(gateway_command([keys], environment)[4:]).options
    composed = parse_serve(words_of(service(projects, profile))[4:]).options
    for name in ("repository", "cache", "control", "ready_file", "host", "triton", "identity"):
        assert getattr(composed, name) == getattr(alone, name), name


@pytest.mark.parametrize("profile", PROFILES)
def test_prepare_takes_what_it_is_given(projects: dict[str, dict[str, Any]], profile: str) -> None:
    one = projects[profile]["services"][SERVICES[profile][1]]
    python, flag, module, *words = words_of(one)
    assert (python, flag, module) == ("python", "-m", "deploy.prepare")
    inputs = from_options(Inputs, parser_of(Inputs, program=module, description="").parse_args(words))
    assert inputs.state == Path("/var/lib/q-face")
    stage = read_dockerfile(DOCKERFILE).stages[profile]
    environment = {name: value for line in stage.all("ENV") for name, value in line.pairs().items()}
    assert inputs.overrides.target == environment["QFACE_TARGET"]
    assert inputs.overrides.weights is not None
    assert (ROOT / inputs.overrides.weights).is_file()
    assert service(projects, profile)["depends_on"] == {
        SERVICES[profile][1]: {"condition": "service_completed_successfully", "required": True}
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_both_services_have_no_more_rights_than_they_need(
    projects: dict[str, dict[str, Any]], profile: str
) -> None:
    users = {user.text for user in read_dockerfile(DOCKERFILE).stages[profile].all("USER")}
    for name in SERVICES[profile]:
        one = projects[profile]["services"][name]
        assert {one["user"]} == users
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert "cap_add" not in one
        assert set(tmpfs_of(one)) == {"/tmp", "/run/q-face"}
        assert "uid=10001" in tmpfs_of(one)["/run/q-face"]
        writable = {volume["target"] for volume in one["volumes"] if not volume.get("read_only")}
        assert writable == {"/var/lib/q-face"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_stop_waits_for_the_drain(projects: dict[str, dict[str, Any]], profile: str) -> None:
    one = service(projects, profile)
    options = parse_serve(words_of(one)[4:]).options
    assert seconds(one["stop_grace_period"]) >= stop_seconds(options)


@pytest.mark.parametrize("profile", PROFILES)
def test_health_is_the_images_own(projects: dict[str, dict[str, Any]], profile: str) -> None:
    health = service(projects, profile)["healthcheck"]
    image = read_dockerfile(DOCKERFILE).stages[profile].last("HEALTHCHECK")
    assert image is not None
    assert health["test"] == ["CMD", *yaml.safe_load(image.text.removeprefix("CMD "))]
    options = parse_serve(words_of(service(projects, profile))[4:]).options
    assert seconds(health["start_period"]) >= options.start_timeout


@pytest.mark.parametrize("profile", PROFILES)
def test_resources_are_bounded(projects: dict[str, dict[str, Any]], profile: str) -> None:
    for name, one in projects[profile]["services"].items():
        assert int(one["deploy"]["resources"]["limits"]["memory"]) >= GIGABYTE // 2, name
    assert int(service(projects, profile)["shm_size"]) >= GIGABYTE


@pytest.mark.parametrize("profile", PROFILES)
def test_gpus_are_reserved_where_there_are_some(projects: dict[str, dict[str, Any]], profile: str) -> None:
    reserving = {
        name
        for name, one in projects[profile]["services"].items()
        if one["deploy"]["resources"].get("reservations", {}).get("devices")
    }
    assert reserving == ({*SERVICES["gpu"], "dcgm-exporter"} if profile == "gpu" else set())


@pytest.mark.parametrize("profile", PROFILES)
def test_every_image_is_of_one_version(projects: dict[str, dict[str, Any]], profile: str) -> None:
    for name, one in projects[profile]["services"].items():
        _, _, tag = one["image"].rpartition(":")
        assert re.match(r"v?\d+\.\d+", tag), name
        if name in SERVICES[profile]:
            assert tag.endswith(f"-{profile}")


@pytest.mark.parametrize("profile", PROFILES)
def test_an_image_is_built_once_and_never_looked_for_in_a_registry(
    projects: dict[str, dict[str, Any]], profile: str
) -> None:
    """Two services that build one tag do so at once, and the second ends with "already exists"."""
    answers, prepares = (projects[profile]["services"][name] for name in SERVICES[profile])
    assert answers["image"] == prepares["image"]
    assert "build" not in answers
    assert answers["pull_policy"] == "never"
    assert prepares["build"]["target"] == profile
    assert (Path(prepares["build"]["context"]) / prepares["build"]["dockerfile"]) == DOCKERFILE


def test_the_images_tag_is_the_dockerfiles_version(projects: dict[str, dict[str, Any]]) -> None:
    for profile in PROFILES:
        arguments = read_dockerfile(DOCKERFILE).stages[profile].all("ARG")
        version = {name: value for one in arguments for name, value in one.pairs().items()}["VERSION"]
        assert service(projects, profile)["image"] == f"q-face:{version}-{profile}"


@pytest.mark.parametrize("profile", PROFILES)
def test_what_watches_finds_the_service(projects: dict[str, dict[str, Any]], profile: str) -> None:
    one = service(projects, profile)
    names = {*projects[profile]["services"], *one["networks"]["default"]["aliases"]}
    options = parse_serve(words_of(one)[4:]).options
    jobs = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    looked_up = {
        (name, entry["port"])
        for job in jobs
        for entry in job.get("dns_sd_configs", ())
        for name in entry["names"]
    }
    assert ("q-face", options.http_port) in looked_up
    assert {name for name, _ in looked_up} - names <= ({"dcgm-exporter"} if profile == "cpu" else set())
    assert options.tracing.otlp_endpoint is not None
    collector = re.fullmatch(r"http://([\w-]+):(\d+)", options.tracing.otlp_endpoint)
    assert collector is not None
    assert collector[1] in names
    otlp = yaml.safe_load((ROOT / "deploy" / "monitoring" / "otel-collector.yaml").read_text())["receivers"][
        "otlp"
    ]
    assert otlp["protocols"]["http"]["endpoint"] == f"0.0.0.0:{collector[2]}"


def test_grafana_has_the_data_source_and_the_dashboard(projects: dict[str, dict[str, Any]]) -> None:
    mounted = {
        Path(volume["target"]): Path(volume["source"])
        for volume in projects["cpu"]["services"]["grafana"]["volumes"]
    }
    provisioning = mounted[Path("/etc/grafana/provisioning")]
    (file,) = (provisioning / "datasources").iterdir()
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    host = re.fullmatch(r"http://([\w-]+):9090", source["url"])
    assert host is not None
    assert host[1] in projects["cpu"]["services"]
    (file,) = (provisioning / "dashboards").iterdir()
    (provider,) = yaml.safe_load(file.read_text())["providers"]
    (dashboard,) = (path for path in mounted if path.parent == Path(provider["options"]["path"]))
    assert json.loads(mounted[dashboard].read_text())["panels"]


@pytest.mark.parametrize("profile", PROFILES)
def test_tls_is_added_by_a_second_file(profile: str) -> None:
    one = project(profile, TLS_FILE)["services"][SERVICES[profile][0]]
    identity = parse_serve(words_of(one)[4:]).options.identity
    assert (identity.keys, identity.certificate, identity.private_key) == tuple(
        SECRETS / name for name in ("keys.toml", "tls.crt", "tls.key")
    )


def test_the_readmes_docker_run_is_what_compose_states(projects: dict[str, dict[str, Any]]) -> None:
    readme = (ROOT / "README.md").read_text()
    match = re.search(r"docker run --detach(.*?)\n\n", readme, re.DOTALL)
    assert match is not None
    words = shlex.split(match[1].replace("\\\n", " "))
    one = service(projects, "gpu")
    given: dict[str, list[str]] = {}
    for flag, value in itertools.pairwise(words):
        given.setdefault(flag, []).append(value)
    assert dict(text.split(":", 1) for text in given["--tmpfs"]) == tmpfs_of(one)
    assert given["--stop-timeout"] == [str(int(seconds(one["stop_grace_period"])))]
    assert given["--shm-size"] == [f"{int(one['shm_size']) // GIGABYTE}g"]
    assert (given["--cap-drop"], given["--security-opt"]) == (["ALL"], ["no-new-privileges"])
    assert "--read-only" in words
    ports = {(port.get("host_ip"), port["target"]) for port in one["ports"]}
    published = {tuple(text.rsplit(":", 2)) for text in given["--publish"]}
    assert {(host[0] if len(host) == 3 else None, int(host[-1])) for host in published} == ports
    image, *options = words[words.index(one["image"]) :]
    assert image == one["image"]
    assert (
        parse_serve(gateway_command(options, {})[4:]).options.identity
        == parse_serve(words_of(one)[4:]).options.identity
    )
    mounted = {text.split(":")[1] for text in given["--volume"]}
    assert mounted == {volume["target"] for volume in one["volumes"]}
    assert given["--restart"] == [one["restart"]]  # also after the host has started anew


def test_keys_that_lie_beside_compose_stay_out_of_git() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/deploy/container/secrets/", "/secrets/"} <= set(ignored)


def test_a_wrong_word_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace"))
    with pytest.raises(ValueError, match="stop_grace"):
        read_compose(require_tool("docker-compose"), profile="cpu", files=(file,))
