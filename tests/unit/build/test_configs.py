"""The committed configurations are what the weights ask for, and hang together as Triton needs it."""

import shutil
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from tritonclient.grpc import model_config_pb2 as triton

from build import config
from build.config import MODEL_REPOSITORY, WEIGHTS, generated, stale, write
from build.files import replace_file
from build.onnx_interface import Graph, read_graph
from build.serving.pbtxt import Batching, Ensemble, Model, Step, Tensor, parse, to_text
from runtime.heads import task_heads
from runtime.parameters import REQUEST_PARAMETERS, Parameter
from runtime.parameters import parse as parse_parameters
from tests.helpers.networks import standin_network as standin
from training.tasks import QFACE_TASKS, Task

DATATYPES = {"tensor(uint8)": triton.TYPE_UINT8, "tensor(float)": triton.TYPE_FP32}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(WEIGHTS)


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    """Every committed configuration by its model; the engine's is the one for the CPU."""
    configs = {path.parent.name: parse(path.read_text()) for path in MODEL_REPOSITORY.glob("*/config.pbtxt")}
    configs["face_engine"] = parse((MODEL_REPOSITORY / "face_engine/configs/cpu.pbtxt").read_text())
    return configs


@pytest.fixture
def every_kind(tmp_path: Path) -> Graph:
    """A network with tasks of every kind."""
    contract = standin.contract_of(
        "expression", "action_units", "age", "head_pose", "race", "landmarks", "parsing"
    )
    return read_graph(standin.write(tmp_path / "every.onnx", contract))


@pytest.fixture
def with_errors(tmp_path: Path) -> dict[str, Any]:
    """Every configuration of a network whose contract states errors and a quality, by its model."""
    contract = standin.stating_errors(standin.contract_of("age", "gender", "landmarks", "face_quality"))
    files = generated(read_graph(standin.write(tmp_path / "errors.onnx", contract)))
    configs = {
        path.split("/")[0]: parse(text.decode())
        for path, text in files.items()
        if path.endswith("config.pbtxt")
    }
    return configs | {"face_engine": parse(files["face_engine/configs/cpu.pbtxt"].decode())}


def names_of(tensors: Any) -> list[str]:
    return [tensor.name for tensor in tensors]


def test_the_committed_configurations_are_current(graph: Graph) -> None:
    assert stale(graph) == []


def test_the_committed_engine_has_the_graph_s_names_types_and_dims() -> None:
    session = onnxruntime.InferenceSession(str(WEIGHTS), providers=["CPUExecutionProvider"])
    wanted_inputs = [(v.name, DATATYPES[v.type], v.shape[1:]) for v in session.get_inputs()]
    wanted_outputs = [(v.name, DATATYPES[v.type], v.shape[1:]) for v in session.get_outputs()]
    for name in ("config.pbtxt", "configs/cpu.pbtxt"):
        engine = parse((MODEL_REPOSITORY / "face_engine" / name).read_text())
        assert [(v.name, v.data_type, list(v.dims)) for v in engine.input] == wanted_inputs
        outputs = [(v.name, v.data_type, list(v.dims)) for v in engine.output]
        assert outputs == wanted_outputs


def test_the_engine_is_tensorrt_s_unless_the_cpu_variant_is_chosen() -> None:
    engine = parse((MODEL_REPOSITORY / "face_engine" / "config.pbtxt").read_text())
    variant = parse((MODEL_REPOSITORY / "face_engine" / "configs" / "cpu.pbtxt").read_text())
    assert engine.platform == "tensorrt_plan"
    assert variant.backend == "python"
    assert variant.parameters["precision"].string_value in ("fp32", "bf16")


def test_steps_agree_in_names_types_and_dims(committed: dict[str, Any], with_errors: dict[str, Any]) -> None:
    ensembles = [model for model in committed.values() if model.platform == "ensemble"]
    assert {model.name for model in ensembles} >= {"face_analysis", "crop_analysis", *QFACE_TASKS}
    for configs in (committed, with_errors):
        assert_steps_agree(configs)


def assert_steps_agree(committed: dict[str, Any]) -> None:
    ensembles = [model for model in committed.values() if model.platform == "ensemble"]
    for ensemble in ensembles:
        tensors = {v.name: (v.data_type, list(v.dims)) for v in ensemble.input}
        for step in ensemble.ensemble_scheduling.step:
            model = committed[step.model_name]
            inputs = {v.name: (v.data_type, list(v.dims)) for v in model.input}
            outputs = {v.name: (v.data_type, list(v.dims)) for v in model.output}
            assert set(step.input_map) == set(inputs), f"{ensemble.name}: {step.model_name}"
            for name, tensor in step.input_map.items():
                assert tensors[tensor] == inputs[name], f"{ensemble.name}: {tensor}"
            tensors |= {tensor: outputs[name] for name, tensor in step.output_map.items()}
        for output in ensemble.output:
            assert tensors[output.name] == (output.data_type, list(output.dims))


def test_a_task_s_ensemble_asks_the_engine_for_its_own_heads_only(
    committed: dict[str, Any], graph: Graph
) -> None:
    for task in QFACE_TASKS:
        steps = {step.model_name: step for step in committed[task].ensemble_scheduling.step}
        own = {head.name for head in task_heads(graph.contract.entry(task))}
        assert set(steps["face_engine"].output_map) == own


def test_an_expected_error_is_answered_wherever_its_task_is(with_errors: dict[str, Any]) -> None:
    errors = ["age_error", "landmarks_error"]
    for name in ("face_engine", "face_postprocess", "face_analysis", "crop_analysis", "photo_analysis"):
        assert [each for each in names_of(with_errors[name].output) if each.endswith("_error")] == errors, (
            name
        )
    assert names_of(with_errors["age"].output) == ["age_value", "age_error", "contract"]
    assert names_of(with_errors["age_postprocess"].input) == ["age", "age_error"]
    assert names_of(with_errors["gender"].output) == ["gender_probabilities", "gender_label", "contract"]
    steps = {step.model_name: step for step in with_errors["age"].ensemble_scheduling.step}
    assert sorted(steps["face_engine"].output_map) == ["age", "age_error"]
    dims = {tensor.name: list(tensor.dims) for tensor in with_errors["photo_analysis"].output}
    assert (dims["age_error"], dims["landmarks_error"]) == ([-1, 1], [-1, 68])


def test_photos_are_answered_from_a_least_quality_on_where_the_network_states_one(
    with_errors: dict[str, Any], every_kind: Graph
) -> None:
    older = parse(generated(every_kind)["photo_analysis/config.pbtxt"].decode())

    def parameters(model: Any) -> dict[str, Parameter]:
        return parse_parameters(model.parameters[REQUEST_PARAMETERS].string_value)

    photo = with_errors["photo_analysis"]
    quality = parameters(photo)["min_quality"]
    assert (quality.minimum, quality.maximum, quality.default) == (0, 1, 0.5)
    assert [list(each.dims) for each in photo.output if each.name == "faces_below_quality"] == [[1]]
    for model in (with_errors["face_detect"], older):
        assert "min_quality" not in parameters(model)
        assert "faces_below_quality" not in names_of(model.output)
    answering = [each.name for each in with_errors.values() if "faces_below_quality" in names_of(each.output)]
    assert answering == ["photo_analysis"], "crops and faces are answered whatever their quality"


def test_no_batching_model_has_an_optional_input_and_no_answer_is_cached(committed: dict[str, Any]) -> None:
    for model in committed.values():
        assert not any(tensor.optional for tensor in model.input), model.name
        assert not model.HasField("response_cache"), model.name


def test_queues_are_bounded_where_requests_come_in_and_nowhere_else(committed: dict[str, Any]) -> None:
    bounded = {
        name
        for name, model in committed.items()
        if model.dynamic_batching.default_queue_policy.max_queue_size
    }
    assert bounded == {"face_preprocess", "crop_preprocess", "photo_analysis", "face_detect"}


def test_a_changed_committed_file_is_found(graph: Graph, tmp_path: Path) -> None:
    sources = tmp_path / "model_repository"
    shutil.copytree(MODEL_REPOSITORY, sources)
    changed = sources / "age" / "config.pbtxt"
    changed.write_text(changed.read_text().replace("dims: [1]", "dims: [2]"))
    (sources / "gender_postprocess" / "1" / "model.py").unlink()
    (sources / "smile").mkdir()
    (sources / "smile" / "config.pbtxt").write_text(changed.read_text())
    assert stale(graph, sources=sources) == [
        "age/config.pbtxt is stale",
        "gender_postprocess/1/model.py is missing",
        "smile is no longer served",
    ]
    write(graph, sources=sources)
    assert stale(graph, sources=sources) == []


@pytest.mark.parametrize("config", [None, 'name: "mine"\n'])
def test_a_directory_that_was_not_generated_is_told_and_stays(
    graph: Graph, tmp_path: Path, config: str | None
) -> None:
    sources = tmp_path / "model_repository"
    shutil.copytree(MODEL_REPOSITORY, sources)
    mine = sources / "mine" / "1" / "model.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("weeks of work")
    if config is not None:
        (sources / "mine" / "config.pbtxt").write_text(config)
    write(graph, sources=sources)
    assert mine.read_text() == "weeks of work"
    assert stale(graph, sources=sources) == ["mine is neither served nor generated: remove it by hand"]


def test_a_write_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_check_ends_with_status_1_where_another_contract_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = standin.write(tmp_path / "other.onnx", standin.contract_of("age"))
    assert config.main(["--check", "--weights", str(other)]) == 1
    said = capsys.readouterr().err
    assert "age/config.pbtxt is stale" in said
    assert "expression is no longer served" in said
    assert "--write" in said


def test_a_task_that_nobody_knows_is_served_by_its_kind(tmp_path: Path) -> None:
    smile = Task(
        name="smile",
        kind="classes",
        labels=("no", "yes", "wide"),
        unit="probability",
        queries=3,
        loss="",
        metric="",
    )
    files = generated(read_graph(standin.write(tmp_path / "x.onnx", standin.contract_with(smile))))
    ensemble = parse(files["smile/config.pbtxt"].decode())
    outputs = {tensor.name: list(tensor.dims) for tensor in ensemble.output}
    assert outputs == {"smile_probabilities": [3], "smile_label": [1], "contract": [1]}
    assert "smile_postprocess/1/model.py" in files


def test_only_answers_in_the_photo_s_frame_need_the_map_to_it(every_kind: Graph) -> None:
    files = generated(every_kind, tasks=["expression", "action_units", "head_pose", "landmarks", "parsing"])
    needing = {
        path.split("_postprocess")[0]
        for path, content in files.items()
        if path.endswith("_postprocess/config.pbtxt")
        and any(tensor.name == "crop_to_photo" for tensor in parse(content.decode()).input)
    }
    assert needing == {"head_pose", "landmarks", "parsing", "parsing_runs", "face"}


def test_tasks_that_are_not_served_by_default_have_no_files(every_kind: Graph) -> None:
    served = {path.split("/")[0] for path in generated(every_kind)}
    assert {"expression", "age", "landmarks", "parsing"} <= served
    assert not served & {"race"}


def test_configurations_survive_the_way_through_text() -> None:
    model = Model(
        name="m",
        inputs=(Tensor(name="image", datatype="UINT8", dims=(-1,), ragged=True),),
        outputs=(Tensor(name="label", datatype="BYTES", dims=(1,)),),
        max_batch_size=4,
        batching=Batching(max_queue_size=7),
        parameters={"quoted": '{"a": "b\n"}'},
    )
    assert parse(to_text(model)) == model.config()
    assert to_text(model) == to_text(model)


def test_an_ensemble_that_answers_what_a_step_reads_is_refused() -> None:
    picture = Tensor(name="a", datatype="UINT8", dims=(-1,))
    steps = (
        Step(model="one", inputs={"x": "a"}, outputs={"y": "b"}),
        Step(model="two", inputs={"x": "b"}, outputs={"y": "c"}),
    )
    outputs = tuple(Tensor(name=name, datatype="UINT8", dims=(-1,)) for name in ("b", "c"))
    with pytest.raises(ValueError, match=r"both answers and reads \['b'\]"):
        Ensemble(name="e", inputs=(picture,), outputs=outputs, max_batch_size=1, steps=steps)
    with pytest.raises(ValueError, match=r"maps \['c'\], which no step uses"):
        Ensemble(name="e", inputs=(picture,), outputs=(), max_batch_size=1, steps=steps)
