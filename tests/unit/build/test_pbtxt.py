"""What face_engine is served with: on a GPU, on a CPU, and what is refused before a server sees it."""

import json
from pathlib import Path
from typing import Any

import pytest

from build.backends import servable_backend
from build.backends.tensorrt_tools.plan_settings import Profile, graphs_up_to
from build.errors import BuildError
from build.onnx_interface import Graph, read_graph
from build.precisions import Precision
from build.serving.batching_and_queues import MAX_BATCH
from build.serving.engine_settings import EngineSettings
from build.serving.host_settings import REFERENCE_HOST as HOST
from build.serving.pbtxt import Batching, CudaGraph, Instances, Model, Tensor, parse
from build.serving.served_models import config_files
from build.serving.served_network import network_of
from tests.helpers.networks import standin_network as standin

SHAPE = [standin.SIZE, standin.SIZE, 3]


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return read_graph(standin.write(tmp_path / "x.onnx", standin.contract_of("age", "head_pose")))


def settings(target: str = "openvino", **options: Any) -> EngineSettings:
    """How a target's engine is served; the options of the build are those that its manifest records."""
    built_with = {key: options.pop(key) for key in ("threads", "streams", "profile") if key in options}
    return servable_backend(target).settings(built_with=built_with, **options)


def configured(graph: Graph, engine: EngineSettings, *, name: str = "config.pbtxt") -> Any:
    files = config_files([network_of(graph, engine=engine)])
    return parse(files[f"face_engine/{name}"])


def parameters(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items() if key != "contract"}


def test_a_gpu_s_engine_is_warm_and_its_work_recorded(graph: Graph) -> None:
    engine = settings("tensorrt", precision="fp16", profile={"min": 1, "opt": 4, "max": 64})
    config = configured(graph, engine)
    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert config.default_model_filename == "model.plan"
    assert config.max_batch_size == MAX_BATCH
    assert [sample.batch_size for sample in config.model_warmup] == [1, 4, MAX_BATCH]
    for sample in config.model_warmup:
        assert list(sample.inputs) == ["pixels"]
        assert list(sample.inputs["pixels"].dims) == SHAPE
        assert sample.inputs["pixels"].data_type == config.input[0].data_type
    assert config.optimization.cuda.graphs
    recorded = config.optimization.cuda.graph_spec
    assert [spec.batch_size for spec in recorded] == [1, 2, 3, 4, 6, 8, 12, 16, 24, MAX_BATCH]
    assert all(list(spec.input["pixels"].dim) == SHAPE for spec in recorded)
    # Triton refuses a lower bound that leaves out an input, and one without a size.
    bounds = [spec.graph_lower_bound for spec in recorded if spec.HasField("graph_lower_bound")]
    assert [bound.batch_size for bound in bounds] == [5, 7, 9, 13, 17, 25]
    assert all(list(bound.input["pixels"].dim) == SHAPE for bound in bounds)


@pytest.mark.parametrize("max_batch", range(1, MAX_BATCH + 1))
def test_every_batch_hits_exactly_one_recorded_graph_at_most_half_as_large_again(max_batch: int) -> None:
    graphs = graphs_up_to(max_batch)
    for batch in range(1, max_batch + 1):
        (hit,) = [graph for graph in graphs if graph.smallest <= batch <= graph.batch]
        assert hit.batch <= 1.5 * batch
        # Triton takes the smallest that holds the batch: it must be the one whose bounds do.
        assert hit.batch == min(graph.batch for graph in graphs if graph.batch >= batch)
    assert max(graph.batch for graph in graphs) == max_batch, "nothing that the model would not take"


def test_graphs_that_answer_the_same_batch_are_refused() -> None:
    pixels = Tensor(name="pixels", datatype="UINT8", dims=(4,))
    graphs = (CudaGraph(batch=2, smallest=1), CudaGraph(batch=4, smallest=2))
    with pytest.raises(ValueError, match="two CUDA graphs for a batch of 2: let the one of 4 begin at 3"):
        Model(name="m", inputs=(pixels,), outputs=(), max_batch_size=4, cuda_graphs=graphs)
    with pytest.raises(ValueError, match="a batch of 2 can't answer 3: choose 1 to 2"):
        CudaGraph(batch=2, smallest=3)


def test_a_gpu_s_engine_is_on_every_gpu_twice_unless_others_are_chosen(graph: Graph) -> None:
    (everywhere,) = configured(graph, settings()).instance_group
    assert (everywhere.kind, everywhere.count, list(everywhere.gpus)) == (everywhere.KIND_GPU, 2, [])
    chosen = settings("tensorrt", precision="fp16", instances=3, gpus=(1, 3))
    (group,) = configured(graph, chosen).instance_group
    assert (group.kind, group.count, list(group.gpus)) == (group.KIND_GPU, 3, [1, 3])


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (
            settings(precision="bf16", threads=3, streams=2),
            {
                "runtime": "openvino",
                "file": "model.onnx",
                "precision": "bf16",
                "threads": "3",
                "streams": "2",
            },
        ),
        (
            settings(precision="int8"),
            {
                "runtime": "openvino",
                "file": "model.xml",
                "precision": "int8",
                "threads": str(HOST.engine.threads),
                "streams": str(HOST.engine.streams),
            },
        ),
        (
            settings("onnxruntime"),
            {
                "runtime": "onnxruntime",
                "file": "model.onnx",
                "precision": "fp32",
                "threads": str(HOST.engine.threads),
                "streams": "1",
            },
        ),
        # Beside a plan, a CPU runs the exported network.
        (
            settings("tensorrt", precision="fp16", threads=1),
            {
                "runtime": "openvino",
                "file": "model.onnx",
                "precision": "fp32",
                "threads": "1",
                "streams": "1",
            },
        ),
    ],
)
def test_a_cpu_s_engine_says_what_runs_it(
    graph: Graph, engine: EngineSettings, expected: dict[str, str]
) -> None:
    config = configured(graph, engine, name="configs/cpu.pbtxt")
    assert parameters(config) == expected
    assert config.backend == "python"
    assert [group.kind for group in config.instance_group] == [config.instance_group[0].KIND_CPU]
    assert [sample.batch_size for sample in config.model_warmup] == [1]
    assert not config.optimization.cuda.graphs


@pytest.mark.parametrize("target", ["openvino", "onnxruntime", "tensorrt"])
def test_the_engine_declares_every_head_and_the_rest_only_the_served_tasks(graph: Graph, target: str) -> None:
    """Triton does not load a plan of which an output is not declared."""
    contract = graph.contract.select(["head_pose"])
    files = config_files([network_of(graph, tasks=["head_pose"], engine=settings(target))])
    configs = {path: parse(text) for path, text in files.items()}
    heads = {"age": [1], "head_pose": [3, 3]}
    for name in ("config.pbtxt", "configs/cpu.pbtxt"):
        engine = configs.pop(f"face_engine/{name}")
        assert {tensor.name: list(tensor.dims) for tensor in engine.output} == heads, name
        assert json.loads(engine.parameters["contract"].string_value) == contract.to_json()
    ensembles = {config.name: config for config in configs.values() if config.platform == "ensemble"}
    assert set(ensembles) == {"head_pose", "face_analysis", "crop_analysis"}
    for ensemble in ensembles.values():
        maps = {step.model_name: step for step in ensemble.ensemble_scheduling.step}
        assert list(maps["face_engine"].output_map) == ["head_pose"]
    for config in configs.values():
        assert not [
            tensor.name for tensor in [*config.input, *config.output] if "age" in tensor.name.split("_")
        ]


@pytest.mark.parametrize(("network", "detector"), [("fp32", "fp32"), ("bf16", "bf16"), ("int8", "bf16")])
def test_the_detector_runs_in_fp32_beside_a_network_in_fp32_alone(
    graph: Graph, network: Precision, detector: str
) -> None:
    files = config_files([network_of(graph, engine=settings(precision=network))])
    for model in ("photo_analysis", "face_detect"):
        found = parameters(parse(files[f"{model}/config.pbtxt"]))
        assert found["detector_precision"] == detector
        assert (found["detector"], found["detector_threads"]) == ("detector.tflite", "1")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"target": "cpu"}, "can't serve the target 'cpu': choose from openvino, onnxruntime, tensorrt"),
        ({"target": "tensorrt-rtx"}, "can't serve the target 'tensorrt-rtx'"),
        ({"precision": "fp16"}, "OpenVINO on the CPU is not built in 'fp16': choose from fp32, bf16, int8"),
        ({"threads": -1}, "choose 1 or more, or 0 for every core"),
        ({"streams": 0}, "can't run 0 streams: choose 1 or more"),
        ({"target": "onnxruntime", "streams": 2}, "can't run 2 streams: choose 1"),
        ({"target": "tensorrt", "instances": 0}, "choose 1 or more"),
        ({"target": "tensorrt", "gpus": (0, 0)}, r"the GPUs \[0, 0\] can't be meant"),
        ({"target": "tensorrt", "gpus": (-1,)}, r"the GPUs \[-1\] can't be meant"),
        (
            {"instances": 2},
            "OpenVINO on the CPU runs on no GPU: .* for an engine on a GPU only",
        ),
        ({"target": "onnxruntime", "gpus": (0,)}, "ONNX Runtime runs on no GPU"),
    ],
)
def test_settings_that_nothing_can_run_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BuildError, match=sentence):
        settings(**wrong)


def test_a_profile_below_the_served_batch_is_refused() -> None:
    with pytest.raises(BuildError, match=rf"build it with --max-batch {MAX_BATCH} or more"):
        Profile(max=MAX_BATCH - 1)
    with pytest.raises(BuildError, match="at its best at a batch of 0: choose 1 to 64"):
        Profile(opt=0, max=64)


def test_a_model_prepares_for_no_batch_that_it_would_not_take() -> None:
    pixels = Tensor(name="pixels", datatype="UINT8", dims=(4,))
    rest: dict[str, Any] = {"name": "m", "inputs": (pixels,), "outputs": (), "batching": Batching()}
    for wrong in ({"warmup": (1, 5)}, {"cuda_graphs": (CudaGraph(batch=5, smallest=1),)}):
        with pytest.raises(ValueError, match="prepares for a batch of 5, but takes no more than 4"):
            Model(**rest, **wrong, max_batch_size=4)


def test_instances_are_counted_and_placed_where_they_can_be() -> None:
    with pytest.raises(ValueError, match="choose 1 or more"):
        Instances(count=0)
    with pytest.raises(ValueError, match="KIND_CPU has no GPUs"):
        Instances(gpus=(0,))
