"""An installed Triton is started as it lies, and refused in a sentence where it can't be."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.embedded import EnvironmentNotSupported, RepositoryDamaged, environment
from deploy.embedded.assembled_repository import open_repository, precisions_served
from deploy.embedded.host_check import model_process_count
from deploy.embedded.installations import RunnableTriton, triton_in
from deploy.embedded.installations.folder import FolderTriton
from deploy.embedded.server_command import server_command
from tests.helpers.networks import standin_network as standin

PYTHON = Path("/image/python")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a server whose stub is linked to Python 3.12."""
    made = tmp_path / "tritonserver"
    for name, content in (
        ("bin/tritonserver", b"server"),
        ("backends/python/triton_python_backend_stub", b"\x7fELF...\0libpython3.12.so.1.0\0libc.so.6"),
    ):
        path = made / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        path.chmod(0o755)
    (made / "TRITON_VERSION").write_text("2.69.0\n")
    return made


def answering(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """What a Python with all that the models need reports of itself."""
    report = {
        "version": [3, 12],
        "prefix": "/image",
        "purelib": "/image/packages",
        "platlib": "/image/packages",
        "library": "libpython3.12.so.1.0",
        "library_folder": "",
        "pytriton": None,
        "pytriton_version": None,
        "numpy_version": "1.26.4",
        **changes,
    }
    monkeypatch.setattr(environment, "probe", lambda python: report)


def test_it_runs_where_it_lies_with_its_own_backends_and_libraries(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    found = triton_in(folder).prepare(PYTHON, cache=tmp_path / "cache")
    assert found.binary == folder / "bin" / "tritonserver"
    assert found.backends == folder / "backends"
    assert found.libraries == (folder / "lib",)
    assert found.carrier.python == PYTHON
    assert not (tmp_path / "cache").exists()
    assert FolderTriton(folder).version == "2.69.0"


@pytest.mark.parametrize(
    ("change", "reports", "sentence"),
    [
        (lambda f: (f / "bin/tritonserver").unlink(), {}, r"tritonserver is missing.*/opt/tritonserver"),
        (
            lambda f: (f / "backends/python/triton_python_backend_stub").unlink(),
            {},
            "triton_python_backend_stub is missing",
        ),
        (lambda f: (f / "TRITON_VERSION").write_text("2.47.0"), {}, r"is 2\.47\.0, and 2\.51 is the oldest"),
        (lambda f: None, {"version": [3, 11]}, r"built for Python 3\.12, and /image/python is 3\.11"),
        (lambda f: None, {"numpy_version": "2.1.0"}, r"numpy 2\.1\.0.*numpy<2"),
        (lambda f: None, {"library_folder": None}, r"libpython3\.12\.so\.1\.0 was not found"),
    ],
)
def test_what_cannot_be_started_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    reports: dict[str, Any],
    sentence: str,
) -> None:
    answering(monkeypatch, **reports)
    change(folder)
    with pytest.raises(EnvironmentNotSupported, match=sentence):
        triton_in(folder).prepare(PYTHON, cache=folder)


def test_a_folder_without_its_version_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    (folder / "TRITON_VERSION").unlink()
    assert triton_in(folder).prepare(PYTHON, cache=folder).binary.name == "tritonserver"


# -- which configuration is served ------------------------------------------------------------------


@pytest.fixture
def plan_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose engine is TensorRT's, as a GPU's host builds it."""
    monkeypatch.setattr("build.backends.tensorrt.check_plan", lambda *_, **__: None)
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age"))
    engine = standin.write_engine(tmp_path / "engine", weights, target="tensorrt", precision="fp16")
    return assemble(ServingPlan(engine=engine), output=tmp_path / "var")


def command_for(repository: Path, *, serves_gpus: bool) -> list[str]:
    opened = open_repository(repository, serves_gpus=serves_gpus)
    here = environment.Environment(
        python=Path(sys.executable),
        version=(3, 12),
        prefix=Path("/"),
        site_packages=(),
        library_folder=None,
    )
    triton = RunnableTriton(
        binary=Path("/t/bin/tritonserver"), backends=Path("/t/backends"), libraries=(), carrier=here
    )
    return server_command(
        triton,
        models=opened.models,
        config_name=opened.config_name,
        gpu_metrics=opened.on_gpu,
        shm_prefix="qface_1_a_",
        grace=20,
    )


def test_a_gpu_s_engine_is_served_by_the_first_configuration_and_with_the_gpu_s_metrics(
    plan_repository: Path,
) -> None:
    words = command_for(plan_repository, serves_gpus=True)
    assert not [word for word in words if word.startswith("--model-config-name")]
    assert "--allow-gpu-metrics=true" in words


def test_a_server_for_the_cpu_takes_the_cpu_s_variant_of_the_same_repository(plan_repository: Path) -> None:
    words = command_for(plan_repository, serves_gpus=False)
    assert "--model-config-name=cpu" in words
    assert "--allow-gpu-metrics=false" in words


def test_an_installed_triton_serves_a_cpu_s_repository_by_the_cpu_s_variant(tmp_path: Path) -> None:
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age"))
    words = command_for(assemble(ServingPlan(weights=weights), output=tmp_path / "v"), serves_gpus=True)
    assert [word for word in words if word.startswith("--model-config-name=cpu")]
    assert "--allow-gpu-metrics=false" in words


def test_a_gpu_s_engine_without_its_gpu_is_refused_and_not_run_on_the_cpu(
    plan_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_gpu(*_: object, **__: object) -> None:
        raise BuildError("this process sees no GPU")

    monkeypatch.setattr("build.backends.tensorrt.check_plan", no_gpu)
    with pytest.raises(RepositoryDamaged, match=r"can't be served here: this process sees no GPU$"):
        open_repository(plan_repository, serves_gpus=True)


def test_a_gpu_s_engine_that_this_triton_can_not_load_is_stated(plan_repository: Path) -> None:
    (line,) = precisions_served(plan_repository, serves_gpus=False)
    assert line.startswith("serving on the CPU in fp32")
    assert "--triton" in line
    (line,) = precisions_served(plan_repository, serves_gpus=True)
    assert line.endswith(" in fp16, as it was chosen")


def test_the_engine_on_a_gpu_takes_no_process_of_shared_memory(plan_repository: Path) -> None:
    models = plan_repository / "models"
    on_cpu = model_process_count(models, config_name="cpu")
    assert 0 < model_process_count(models, config_name=None) < on_cpu
