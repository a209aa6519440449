"""The containers' pins are those that are tested here, by hash, for each container's Python."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.container.check_tensorrt import BINDINGS
from deploy.container.releases import read_releases
from tests.helpers.paths import ROOT
from tests.helpers.pinned import hashes, pins
from tests.helpers.tools import require_tool

FOLDER = ROOT / "requirements"
LOCKED = tuple(
    f"{name}{kind}.txt"
    for name in ("serve-container-cpu", "serve-container-gpu", "lower-container")
    for kind in ("", "-nodeps")
)
MAKEFILE = (ROOT / "Makefile").read_text()


def named(file: Path) -> set[str]:
    """The packages that an .in file names."""
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    return {re.split(r"[=<>\[;]", line)[0] for line in lines if line and not line.startswith("-")}


@pytest.mark.parametrize("file", LOCKED)
def test_every_file_of_every_package_is_known_by_its_hash(file: str) -> None:
    known = hashes(FOLDER / file)
    assert set(known) == set(pins(FOLDER / file))
    assert known
    assert min(known.values()) >= 1


@pytest.mark.parametrize("file", LOCKED)
def test_no_address_of_an_index_is_written_down(file: str) -> None:
    text = (FOLDER / file).read_text() + (FOLDER / file).with_suffix(".in").read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


@pytest.mark.parametrize(
    ("container", "tested", "more"),
    [
        ("serve-container-cpu.txt", "serve.txt", set()),
        ("serve-container-gpu.txt", "serve.txt", {BINDINGS}),
        ("serve-container-cpu-nodeps.txt", "serve-nodeps.txt", set()),
    ],
)
def test_a_container_serves_with_what_is_tested(container: str, tested: str, more: set[str]) -> None:
    """Run `make lock-container` where serve.txt has changed."""
    inside, here = pins(FOLDER / container), pins(FOLDER / tested)
    assert here
    assert {name: version for name, version in inside.items() if name not in more} == here
    assert more <= set(inside)


def test_the_gpu_container_brings_no_second_triton() -> None:
    nodeps = pins(FOLDER / "serve-container-gpu-nodeps.txt")
    assert nodeps
    assert nodeps.items() < pins(FOLDER / "serve-nodeps.txt").items()
    assert "nvidia-pytriton" not in nodeps


def test_networks_are_lowered_with_what_is_tested() -> None:
    for lower, tested in (
        ("lower-container.txt", "train.txt"),
        ("lower-container-nodeps.txt", "train-nodeps.txt"),
    ):
        inside = pins(FOLDER / lower)
        assert inside
        assert inside.items() <= pins(FOLDER / tested).items()
    assert named(FOLDER / "lower-container.in") <= set(pins(FOLDER / "lower-container.txt"))


def test_everything_that_is_wanted_is_pinned() -> None:
    wanted = named(FOLDER / "serve.in")
    assert wanted
    for container in ("serve-container-cpu.txt", "serve-container-gpu.txt"):
        assert wanted <= set(pins(FOLDER / container))


def test_pythons_way_into_tensorrt_is_of_the_images_version() -> None:
    assert pins(FOLDER / "serve-container-gpu.txt")[BINDINGS] == read_releases().chosen.tensorrt


def test_the_pins_are_for_each_containers_own_python() -> None:
    solved = dict(re.findall(r"((?:serve|lower)-container(?:-[cg]pu)?):(3\.\d+)", MAKEFILE))
    dockerfile = (ROOT / "deploy" / "container" / "Dockerfile").read_text()
    assert solved["serve-container-gpu"] == read_releases().chosen.python
    # Debian's bookworm, on which the other two stand.
    assert solved["serve-container-cpu"] == solved["lower-container"] == "3.11"
    assert f"libpython{solved['serve-container-cpu']}" in dockerfile


def test_the_bill_of_materials_is_valid_and_lists_what_is_pinned(tmp_path: Path) -> None:
    """cyclonedx-py holds what it writes against CycloneDX's schema, and fails where it does not fit."""
    require_tool("cyclonedx-py")
    # A copy of the recipe's inputs: what the working tree has in var/ stays as it is.
    for name in ("requirements", ".venv-deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    done = subprocess.run(
        ["make", "--silent", "--old-file=.venv-deploy/.made", "sbom"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Validation skipped" not in done.stderr
    for container in ("cpu", "gpu"):
        bill = json.loads((tmp_path / "var" / "sbom" / f"q-face-{container}.cdx.json").read_text())
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        names = (f"serve-container-{container}.txt", f"serve-container-{container}-nodeps.txt")
        wanted = {f"{name}=={version}" for file in names for name, version in pins(FOLDER / file).items()}
        assert {f"{one['name']}=={one['version']}" for one in bill["components"]} == wanted
        assert all(
            reference["hashes"] for one in bill["components"] for reference in one["externalReferences"]
        )
