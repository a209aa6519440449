"""Nothing that runs here reports of its use to anybody: no name is looked up, and nothing is left in HOME."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from build.config import WEIGHTS
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.embedded.installations.wheel import default_python
from deploy.gateway.operation.service import GatewayServer
from runtime.telemetry import SWITCHES
from tests.helpers.networks import standin_network
from tests.helpers.paths import ROOT
from tests.helpers.repositories import FEW_PROCESSES

# What looks names up in the background gets so long after the work.
SECONDS_AFTER = 3

OPENVINO = """
from runtime.engines.openvino import openvino_core
import openvino
openvino_core().compile_model(openvino.convert_model(network), "CPU")
"""
ONNXRUNTIME = """
import runtime
import onnxruntime
onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
"""
NNCF = """
import build
import nncf, numpy, openvino
model = openvino.Core().read_model(network)
pictures = [numpy.zeros((1, 32, 32, 3), numpy.uint8)] * 2
nncf.quantize(model, nncf.Dataset(pictures), subset_size=2)
"""
TIMM = """
import training
import timm
timm.create_model("resnet10t", pretrained=False)
"""
MODELOPT = """
import build
import modelopt.onnx
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seclusion:
    """An empty HOME, and where the names are noted that a program looks up."""

    home: Path
    names: Path
    variables: dict[str, str]

    def assert_untouched(self) -> None:
        assert [str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()] == []
        assert (self.names.read_text() if self.names.exists() else "") == ""


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The library that notes names; None without a C compiler: then only HOME is looked at."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = tmp_path_factory.mktemp("guard") / "resolver_guard.so"
    source = ROOT / "tests" / "helpers" / "resolver_guard.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def seclusion(tmp_path: Path, guard: Path | None) -> Seclusion:
    home = tmp_path / "home"
    home.mkdir()
    names = tmp_path / "names"
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in SWITCHES and not name.startswith(("XDG_", "NNCF_", "PYTEST_")) and name != "CI"
    }
    variables = {**kept, "HOME": str(home), "RESOLVER_LOG": str(names)}
    if guard is not None:
        variables["LD_PRELOAD"] = str(guard)
    return Seclusion(home=home, names=names, variables=variables)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    return standin_network.write(path, standin_network.contract_of("age", "expression"))


@pytest.fixture
def _secluded_environment(seclusion: Seclusion, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the children of this process."""
    for name in list(os.environ):
        if name not in seclusion.variables:
            monkeypatch.delenv(name)
    for name, value in seclusion.variables.items():
        monkeypatch.setenv(name, value)


def run(seclusion: Seclusion, program: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=seclusion.variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "programs",
    [
        pytest.param((OPENVINO, ONNXRUNTIME), id="serving"),
        pytest.param((NNCF, TIMM, MODELOPT), id="building", marks=pytest.mark.heavy),
    ],
)
def test_libraries_at_work_report_nothing(
    seclusion: Seclusion, network: Path, programs: tuple[str, ...]
) -> None:
    lines = (f"network = {str(network)!r}", *programs, "import time", f"time.sleep({SECONDS_AFTER})")
    run(seclusion, "\n".join(lines))
    seclusion.assert_untouched()


def test_a_lookup_would_be_noticed(seclusion: Seclusion, guard: Path | None) -> None:
    if guard is None:
        pytest.skip("no C compiler")
    run(
        seclusion,
        "import socket\n"
        "try: socket.getaddrinfo('telemetry.invalid', 443)\n"
        "except socket.gaierror: pass\n"
        "else: raise SystemExit(1)\n"
        "socket.getaddrinfo('127.0.0.1', 1)",
    )
    assert seclusion.names.read_text() == "telemetry.invalid\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is served by default, each model in one process."""
    output = tmp_path_factory.mktemp("served") / "var"
    return assemble(
        ServingPlan(weights=WEIGHTS, precision="fp32", host_settings=FEW_PROCESSES), output=output
    )


@pytest.mark.usefixtures("_secluded_environment")
def test_the_gateway_and_the_served_models_report_nothing(repository: Path, seclusion: Seclusion) -> None:
    with GatewayServer(repository, rest_port=0):
        time.sleep(SECONDS_AFTER)
    seclusion.assert_untouched()


@pytest.mark.parametrize("python", [Path(sys.executable), default_python()])
def test_the_environments_lack_the_package_that_reports(python: Path) -> None:
    found = subprocess.run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('openvino_telemetry'))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.strip() == "None"


def test_a_package_that_reports_is_not_found_even_where_it_is_installed(
    seclusion: Seclusion, tmp_path: Path
) -> None:
    package = tmp_path / "packages" / "openvino_telemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it was imported')")
    seclusion.variables["PYTHONPATH"] = str(package.parent)
    run(
        seclusion,
        "import runtime\n"
        "try: import openvino_telemetry\n"
        "except ImportError: pass\n"
        "else: raise SystemExit('imported')\n"
        "import openvino",
    )


def test_the_pins_lack_it_and_no_dependency_brings_it() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        if path.name != "overrides.txt":
            assert not re.search(r"^openvino[-_]telemetry", path.read_text(), re.MULTILINE), path
    make = (ROOT / "requirements" / "make-venv").read_text()
    assert "pip install --quiet --overrides requirements/overrides.txt --requirement" in make
