"""A repository whose faces are decoded and warped on a GPU: its models, its files, and when there is one."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from build.backends import default_backend
from build.errors import BuildError
from build.onnx_interface import Graph, read_graph
from build.preprocessing import __main__ as command
from build.preprocessing import choice, dali_pipeline
from build.preprocessing.choice import pipeline_of
from build.serving.host_settings import HostSettings
from build.serving.pbtxt import parse
from build.serving.plan_overrides import PlanOverrides
from build.serving.repository_content import content_of
from build.serving.servable_network import ServableNetwork
from build.serving.served_models import config_files
from build.serving_plan import ServingPlan, recorded_plan
from build.stages.repository import assemble
from build.stages.verify import verify
from runtime.detect.search import USUAL_LIMITS
from tests.helpers.networks import standin_network as standin
from training.contract import make_contract
from training.tasks import CATALOGUE

PIPELINE = b"image window matrix mixed ImageSlice WarpAffine"
HOST = HostSettings.for_host("gpu", 16)
GPU = default_backend("gpu").settings(gpus=(1, 3))
CPU = default_backend("cpu").settings()


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return read_graph(standin.write(tmp_path / "x.onnx", standin.contract_of("age", "head_pose")))


@pytest.fixture
def network(graph: Graph) -> ServableNetwork:
    return ServableNetwork(graph=graph, files={}, engine=GPU, stages={}, pipeline=PIPELINE)


@pytest.fixture
def without_dali(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> bytes:
        raise BuildError("DALI can't be loaded (No module named 'nvidia')")

    monkeypatch.setattr(choice, "serialised", missing)


def parameters(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def test_the_warping_model_is_dali_s_on_the_engine_s_gpus_with_the_pipeline_s_own_inputs(
    network: ServableNetwork,
) -> None:
    files = config_files([network.network(tasks=None)], host=HOST)
    model = parse(files["face_warp/config.pbtxt"])
    (group,) = model.instance_group
    assert (model.backend, model.default_model_filename) == ("dali", "model.dali")
    assert (group.kind, group.count, list(group.gpus)) == (group.KIND_GPU, 1, [1, 3])
    assert [tensor.name for tensor in model.input] == [
        dali_pipeline.IMAGE,
        dali_pipeline.WINDOW,
        dali_pipeline.MATRIX,
    ]
    assert model.input[0].allow_ragged_batch, "pictures of different lengths share a batch"
    assert model.max_batch_size == HOST.max_batch
    assert model.HasField("dynamic_batching")
    assert parameters(model) == {"num_threads": str(HOST.face_warp.threads), "internal": "true"}
    step, engine = (parse(files[f"{name}/config.pbtxt"]) for name in ("face_preprocess", "face_engine"))
    assert parameters(step)["warp_model"] == "face_warp"
    assert list(model.output) == list(engine.input) or model.output[0].dims == engine.input[0].dims


def test_where_there_is_no_gpu_the_same_repository_decodes_on_the_cpu(network: ServableNetwork) -> None:
    files = config_files([network.network(tasks=None)], host=HOST)
    warp = parse(files["face_warp/configs/cpu.pbtxt"])
    assert (warp.backend, warp.default_model_filename) == ("python", "model.py")
    assert [group.kind for group in warp.instance_group] == [warp.instance_group[0].KIND_CPU]
    assert "warp_model" not in parameters(parse(files["face_preprocess/configs/cpu.pbtxt"]))


def test_a_further_network_s_step_calls_its_own_model(network: ServableNetwork) -> None:
    files = config_files([network.network(tasks=None), network.network(tasks=None, name="other")], host=HOST)
    step = parse(files["other_face_preprocess/config.pbtxt"])
    assert parameters(step)["warp_model"] == "other_face_warp"
    assert parse(files["other_face_warp/config.pbtxt"]).name == "other_face_warp"


def test_the_pipeline_and_the_cpu_s_program_lie_in_the_model_s_version(network: ServableNetwork) -> None:
    served = network.network(tasks=None)
    files = content_of([(served, network)], detector=b"", limits=USUAL_LIMITS, host=HOST)
    version = {name for name in files if name.startswith("models/face_warp/1/")}
    assert {Path(name).name for name in version} == {"model.dali", "model.py", "__pycache__"}
    assert files["models/face_warp/1/model.dali"] == PIPELINE
    assert b"class TritonPythonModel(FaceWarp)" in bytes(files["models/face_warp/1/model.py"])  # type: ignore[arg-type]


def test_without_a_pipeline_nothing_of_it_is_served(graph: Graph) -> None:
    network = ServableNetwork(graph=graph, files={}, engine=GPU, stages={})
    files = config_files([network.network(tasks=None)], host=HOST)
    assert not [name for name in files if "warp" in name]
    assert not [name for name, text in files.items() if "warp_model" in text]


def test_a_gpu_s_repository_has_the_pipeline_where_dali_is_installed(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "serialised", lambda: PIPELINE)
    assert pipeline_of(graph.contract, GPU) == PIPELINE
    assert pipeline_of(graph.contract, GPU, preprocessing="opencv") is None
    assert pipeline_of(graph.contract, CPU) is None


@pytest.mark.usefixtures("without_dali")
def test_where_dali_is_missing_the_cpu_decodes_and_a_line_states_it(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline_of(graph.contract, GPU) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("faces are decoded and warped on the CPU, by OpenCV: DALI can't be loaded")
    with pytest.raises(BuildError, match="DALI can't be loaded"):
        pipeline_of(graph.contract, GPU, preprocessing="dali")


@pytest.mark.usefixtures("without_dali")
def test_a_pipeline_that_was_written_elsewhere_is_served(graph: Graph, tmp_path: Path) -> None:
    file = tmp_path / "face_warp.dali"
    file.write_bytes(PIPELINE)
    assert pipeline_of(graph.contract, GPU, file=file) == PIPELINE
    file.write_bytes(PIPELINE.replace(b"mixed", b"cpu"))
    with pytest.raises(BuildError, match=r"face_warp.dali is not the pipeline .*\(mixed is not in it\)"):
        pipeline_of(graph.contract, GPU, file=file)
    with pytest.raises(BuildError, match=r"the pipeline at .* can't be read \(No such file"):
        pipeline_of(graph.contract, GPU, file=tmp_path / "none.dali")


def test_dali_is_refused_for_what_it_can_t_serve(tmp_path: Path, graph: Graph) -> None:
    with pytest.raises(BuildError, match="its engine is OpenVINO on the CPU, and DALI is for a GPU's"):
        pipeline_of(graph.contract, CPU, preprocessing="dali")
    boxed = make_contract([CATALOGUE["age"]], input_size=standin.SIZE, crop="box")
    assert pipeline_of(boxed, GPU) is None
    with pytest.raises(BuildError, match="its crops are of the kind 'box'"):
        pipeline_of(boxed, GPU, preprocessing="dali")
    with pytest.raises(BuildError, match="leave out one of them"):
        ServingPlan(preprocessing="opencv", dali_pipeline=tmp_path)


def test_the_choice_is_recorded_in_the_plan() -> None:
    for plan in (ServingPlan(preprocessing="opencv"), ServingPlan(dali_pipeline=Path("/x.dali"))):
        assert ServingPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_an_assembled_repository_records_its_pipeline_and_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.backends.tensorrt.check_plan", lambda *_, gpus: None)
    weights = standin.write(tmp_path / "x.onnx", standin.contract_of("age"))
    changes = {"target": GPU.backend.name, "files": {"model.plan": "0" * 64}, "settings": {}, "versions": {}}
    engine = standin.write_engine(tmp_path / "engine", weights, precision="fp16", **changes)
    (engine / "model.plan").write_bytes(b"a plan")
    pipeline = tmp_path / "face_warp.dali"
    pipeline.write_bytes(PIPELINE)
    plan = ServingPlan(engine=engine, dali_pipeline=pipeline)
    repository = assemble(plan, output=tmp_path / "var")
    assert (repository / "models/face_warp/1/model.dali").read_bytes() == PIPELINE
    stages = verify(repository)["stages"]
    assert stages["preprocessing"]["sha256"] == hashlib.sha256(PIPELINE).hexdigest()
    assert recorded_plan(tmp_path / "var" / "repository").dali_pipeline == pipeline
    without = assemble(ServingPlan(engine=engine, preprocessing="opencv"), output=tmp_path / "var")
    assert not (without / "models/face_warp").exists()


def test_what_is_chosen_last_counts(tmp_path: Path) -> None:
    file = tmp_path / "face_warp.dali"
    plan = PlanOverrides(dali_pipeline=file).over(ServingPlan(preprocessing="opencv"), output=tmp_path)
    assert (plan.preprocessing, plan.dali_pipeline) == (None, file)
    assert PlanOverrides(max_faces=7).over(plan, output=tmp_path).dali_pipeline == file
    plan = PlanOverrides(preprocessing="opencv").over(plan, output=tmp_path)
    assert (plan.preprocessing, plan.dali_pipeline) == ("opencv", None)
    with pytest.raises(BuildError, match="leave out one of them"):
        PlanOverrides(preprocessing="opencv", dali_pipeline=file).over(plan, output=tmp_path)


def test_the_command_states_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The environment of the tests has no DALI."""
    assert command.main(["--output", str(tmp_path / "face_warp.dali")]) == 2
    assert "DALI can't be loaded" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
