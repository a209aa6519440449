"""A repository that is not what its manifest says is refused before a server starts from it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from build.errors import BuildError
from build.serving_plan import ServingPlan
from build.stages import verify
from build.stages.repository import assemble
from tests.helpers.networks import standin_network as standin


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age"))
    return assemble(ServingPlan(weights=weights), output=tmp_path / "var")


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def planted(folder: Path) -> None:
    """Byte code that Python would take instead of the source."""
    (folder / "__pycache__").unlink(missing_ok=True)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"code")


def rewritten(repository: Path, change: Callable[[dict], None]) -> None:
    path = repository / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_an_untouched_repository_is_what_its_manifest_says(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify.main([str(repository.parent / "repository")]) == 0
    assert "openvino engine in fp32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda r: append(r / "models/face_engine/1/model.onnx"), "face_engine/1/model.onnx was changed"),
        (lambda r: append(r / "lib/runtime/image/align.py"), "lib/runtime/image/align.py was changed"),
        (lambda r: append(r / "models/age/config.pbtxt"), "age/config.pbtxt was changed"),
        (lambda r: (r / "models/age/config.pbtxt").unlink(), "age/config.pbtxt is missing"),
        (lambda r: (r / "models/age/1/extra").write_text(""), "age/1/extra is a file too many"),
        (lambda r: (r / "models/stray").mkdir(), "models/stray is a directory too many"),
        (lambda r: (r / "manifest.json").unlink(), "has no manifest.json"),
        (lambda r: (r / "manifest.json").write_text("{"), "can't be read"),
        (lambda r: (r / "manifest.json").write_text("[]"), "can't be read"),
        (lambda r: rewritten(r, lambda m: m.pop("contract")), "is not complete"),
        (lambda r: rewritten(r, lambda m: m.update(contract="0" * 16)), "names the contract"),
        (
            lambda r: rewritten(r, lambda m: m["stages"]["engine"].update(versions={"openvino": "1.0"})),
            "measured with openvino 1.0, and here is",
        ),
        (lambda r: rewritten(r, lambda m: m["stages"]["engine"].update(target="abacus")), "no such target"),
        (
            lambda r: rewritten(r, lambda m: m["stages"]["engine"].update(precision="fp16")),
            "the manifest was changed after",
        ),
        (
            lambda r: rewritten(r, lambda m: m["stages"]["engine"].update(parity={})),
            "the manifest was changed after",
        ),
        (
            lambda r: rewritten(r, lambda m: m["stages"].update(engine={"target": "tensorrt"})),
            "nothing says for which tensorrt",
        ),
        (lambda r: planted(r / "lib/runtime/serving"), "lib/runtime/serving/__pycache__"),
        (lambda r: planted(r / "models/face_engine/1"), "models/face_engine/1/__pycache__"),
        (lambda r: (r / "models/face_engine/1/model.pyc").write_bytes(b""), "model.pyc is a file too many"),
    ],
)
def test_a_tampered_repository_is_refused_in_one_sentence(
    repository: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object], words: str
) -> None:
    damage(repository)
    assert verify.main([str(repository)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_many_faults_are_counted_and_not_all_listed(repository: Path) -> None:
    for path in (repository / "models").rglob("config.pbtxt"):
        path.unlink()
    with pytest.raises(BuildError, match=r"; and \d+ more: assemble it again"):
        verify.verify(repository)


def test_a_plan_is_held_to_this_machine_s_gpu_unless_the_server_runs_on_the_cpu(
    repository: Path, tmp_path: Path
) -> None:
    versions = {"tensorrt": "11.4.0", "gpu": "NVIDIA Test GPU", "compute_capability": "99.0"}
    about = {"target": "tensorrt", "precision": "fp16", "versions": versions}
    rewritten(repository, lambda manifest: manifest["stages"].update(engine=about))
    repository = repository.rename(tmp_path / "nameless")  # its name would give the change away
    with pytest.raises(BuildError, match=r"TensorRT 11\.4\.0 for NVIDIA Test GPU"):
        verify.verify(repository)
    assert verify.verify(repository, on_cpu=True)["stages"]["engine"]["target"] == "tensorrt"


def test_a_plan_is_held_to_the_gpus_that_the_configuration_names(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("build.backends.tensorrt.check_plan", lambda *_, gpus: seen.append(gpus))
    rewritten(repository, lambda manifest: manifest["stages"].update(engine={"target": "tensorrt"}))
    repository = repository.rename(tmp_path / "nameless")
    assert verify.verify(repository)
    config = repository / "models" / "face_engine" / "config.pbtxt"
    config.write_text(config.read_text() + "\ninstance_group { kind: KIND_GPU count: 1 gpus: [ 1, 0 ] }\n")
    digest = hashlib.sha256(config.read_bytes()).hexdigest()
    name = "models/face_engine/config.pbtxt"
    rewritten(repository, lambda manifest: manifest["files"].update({name: digest}))
    assert verify.verify(repository)
    assert seen == [[], [0, 1]]


def test_a_built_engine_s_repository_is_verified_too(tmp_path: Path) -> None:
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("expression", "age"))
    built = assemble(
        ServingPlan(engine=standin.write_engine(tmp_path / "engine", weights)), output=tmp_path / "var"
    )
    assert verify.verify(built)["stages"]["engine"]["precision"] == "bf16"
    changed = {"parity": {"of": "the engine", "faces": 1, "by_batch": {"1": {"age": 0.0}}}}
    rewritten(built, lambda manifest: manifest["stages"]["engine"].update(changed))
    with pytest.raises(BuildError, match="the manifest was changed after"):
        verify.verify(tmp_path / "var" / "repository")
