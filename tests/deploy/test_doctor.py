"""The doctor states what would stop the service, in the service's own sentences; hosts are simulated."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from build.errors import BuildError
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.doctor import __main__ as doctor
from deploy.embedded import HostNotSupported, environment, host_check
from tests.helpers.doctors import examined, note_of, stop_of
from tests.helpers.networks import standin_network as standin
from tests.helpers.simulated_gpu import nvidia_smi, row


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the CPU."""
    folder = tmp_path_factory.mktemp("cpu")
    weights = standin.write(folder / "x.onnx", standin.contract_of("expression", "age"))
    assemble(ServingPlan(weights=weights), output=folder / "var")
    return folder / "var" / "repository"


@pytest.fixture
def plan_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a GPU's engine."""
    monkeypatch.setattr("build.backends.tensorrt.check_plan", lambda *_, **__: None)
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age"))
    engine = standin.write_engine(tmp_path / "engine", weights, target="tensorrt", precision="fp16")
    assemble(ServingPlan(engine=engine), output=tmp_path / "var")
    return tmp_path / "var" / "repository"


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed Triton, and the programs of a GPU's host."""
    folder = tmp_path / "tritonserver"
    for name in ("bin/tritonserver", "backends/python/triton_python_backend_stub"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"\x7fELF")
        (folder / name).chmod(0o755)
    (folder / "TRITON_VERSION").write_text("2.73.0\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VERSION", "13.4.1")
    return folder


# -- a host that is well ----------------------------------------------------------------------------


def test_a_host_without_a_gpu_is_well_with_a_repository_for_the_cpu(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("deploy.host.nvidia_smi.PROGRAM", str(tmp_path / "no" / "nvidia-smi"))
    found = examined(repository, capsys=capsys, status=0)
    [(level, sentence)] = found["gpu"]
    assert level == "ok"
    assert "there is no GPU here" in sentence
    assert "the service runs on the CPU, which is the default" in sentence
    checked = {"system", "triton", "repository", "precision", "shared memory", "ports", "exposure"}
    assert checked <= found.keys()


def test_the_text_has_a_line_for_each_finding(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--repository", str(repository), "--grpc-port", "0", "--http-port", "0", "--no-rest"]
    assert doctor.main(words, environment={}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "the service would run here"
    assert len(lines) > 8
    assert all(re.match(r"(ok|note|stops) +\S", line) for line in lines[:-1])


def test_a_gpu_s_host_is_well_with_its_engine(
    plan_repository: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvidia_smi(tmp_path / "bin", row())
    found = examined(plan_repository, "--triton", str(image), capsys=capsys, status=0)
    assert found["driver"] == [("ok", "the driver 580.65.06 runs CUDA 13")]
    assert found["gpu"] == [("ok", "GPU 0, NVIDIA L4 has compute capability 8.9")]
    assert "tensorrt in fp16, on a GPU" in found["repository"][0][1]
    assert "Triton 2.73.0" in found["triton"][0][1]


# -- GPUs -------------------------------------------------------------------------------------------


def test_a_missing_gpu_stops_what_has_an_engine_for_one(
    plan_repository: Path,
    image: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("deploy.host.nvidia_smi.PROGRAM", str(tmp_path / "no" / "nvidia-smi"))
    found = examined(plan_repository, "--triton", str(image), capsys=capsys, status=1)
    assert "engine is for a GPU, and there is none here" in stop_of(found, "gpu")


def test_a_driver_that_does_not_fit_its_library_is_named_by_nvidia_smi_s_words(
    plan_repository: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "Failed to initialize NVML: Driver/library version mismatch"
    nvidia_smi(tmp_path / "bin", status=18, message=words)
    found = examined(plan_repository, "--triton", str(image), capsys=capsys, status=1)
    assert words in stop_of(found, "gpu")


@pytest.mark.parametrize(
    ("gpu", "check", "words"),
    [
        (row(driver="550.54.15"), "driver", "driver is 550.54.15, and CUDA 13 needs 580 or newer: update"),
        (
            row(capability="7.0", name="Tesla V100"),
            "gpu",
            "compute capability 7.0, and the image supports 7.5",
        ),
    ],
)
def test_an_old_driver_or_gpu_stops_an_engine_and_is_a_note_for_the_cpu(
    plan_repository: Path,
    repository: Path,
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    gpu: str,
    check: str,
    words: str,
) -> None:
    nvidia_smi(tmp_path / "bin", gpu)
    assert words in stop_of(examined(plan_repository, "--triton", str(image), capsys=capsys, status=1), check)
    assert words in note_of(examined(repository, capsys=capsys, status=0), check)


def test_a_gpu_that_others_use_is_noted(
    plan_repository: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvidia_smi(tmp_path / "bin", row(used="22000", free="1034"))
    found = examined(plan_repository, "--triton", str(image), capsys=capsys, status=0)
    assert "GPU 0, NVIDIA L4 has 1034 MiB free" in note_of(found, "gpu memory")


def test_an_engine_for_another_gpu_stops(
    plan_repository: Path,
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other(*_: object, **__: object) -> None:
        raise BuildError("model.plan was built for NVIDIA L4, and it would run on GPU 0, NVIDIA T4 (7.5)")

    monkeypatch.setattr("build.backends.tensorrt.check_plan", other)
    nvidia_smi(tmp_path / "bin", row(name="Tesla T4", capability="7.5"))
    found = examined(plan_repository, "--triton", str(image), capsys=capsys, status=1)
    assert "was built for NVIDIA L4, and it would run on GPU 0" in stop_of(found, "repository")


def test_a_gpu_s_engine_behind_the_cpu_s_triton_is_noted(
    plan_repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(plan_repository, capsys=capsys, status=0)
    assert "serves on the CPU: name an installed one with --triton" in note_of(found, "repository")


# -- software ---------------------------------------------------------------------------------------


def test_an_old_glibc_stops(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def old() -> None:
        host_check.check_host(system="Linux", machine="x86_64", glibc="glibc 2.31")

    monkeypatch.setattr("deploy.doctor.software.check_host", old)
    with pytest.raises(HostNotSupported):
        old()
    assert "glibc is 2.31 here" in stop_of(examined(repository, capsys=capsys, status=1), "system")


def test_a_missing_libpython_stops(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = environment.probe
    monkeypatch.setattr(environment, "probe", lambda python: {**probe(python), "library_folder": None})
    found = examined(repository, capsys=capsys, status=1)
    assert "libpython3." in stop_of(found, "triton")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: folder / "none", "no model repository is assembled"),
        (lambda folder: folder, "is not what its manifest says"),
    ],
)
def test_a_missing_or_changed_repository_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], Path], words: str
) -> None:
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("age"))
    folder = assemble(ServingPlan(weights=weights), output=tmp_path / "var")
    (folder / "models" / "age" / "config.pbtxt").write_text("")
    found = examined(change(folder), capsys=capsys, status=1)
    assert words in stop_of(found, "repository")


# -- in a container ---------------------------------------------------------------------------------


def test_in_a_container_its_own_gateway_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"QFACE_TARGET": "tensorrt", "QFACE_TRITON": "/opt/no-tritonserver"}
    words = ["--grpc-port", "0", "--http-port", "0", "--rest-port", "0", "--insecure", "--json"]
    assert doctor.main(words, environment=environment) == 1
    sentences = [each["sentence"] for each in json.loads(capsys.readouterr().out)["findings"]]
    assert any("/opt/no-tritonserver/bin/tritonserver is missing" in sentence for sentence in sentences)
    assert any("assembled at /var/lib/q-face/repository" in sentence for sentence in sentences)
