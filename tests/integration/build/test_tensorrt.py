"""The network builds for TensorRT; what only a GPU could tell is held with what TensorRT would say there.

TensorRT-RTX parses and builds on any machine, through the same code that builds for TensorRT.
"""

import contextlib
import importlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from build import machine
from build.acceptance.layers import layer_fault, layer_shares
from build.backends import tensorrt, tensorrt_rtx
from build.backends.base import BuildOptions, Engine, LoweredNetwork
from build.backends.tensorrt_tools import plan_backend, plan_check
from build.backends.tensorrt_tools import timing_cache as timings
from build.backends.tensorrt_tools.gpus import Gpu
from build.backends.tensorrt_tools.layers import inspected_layers
from build.backends.tensorrt_tools.plan import inspect, runner
from build.config import WEIGHTS
from build.errors import BuildError
from build.precisions import Precision
from tests.helpers import standin_network as standin

ONNX_TYPES = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
PLAN = Path("model.plan")
BUILT = {"versions": {"tensorrt": "10.13.2", "gpu": "NVIDIA L4", "compute_capability": "8.9"}}


def build(
    network: Path,
    directory: Path,
    *,
    rtx: bool = True,
    precision: Precision = "fp32",
    max_batch: int = 32,
    log: Callable[[str], None] = lambda line: None,
) -> Engine:
    return (tensorrt_rtx.BACKEND if rtx else tensorrt.BACKEND).build(
        LoweredNetwork(network=network, files={"model.onnx": network}),
        precision=precision,
        directory=directory,
        options=BuildOptions(max_batch=max_batch),
        log=log,
    )


def product(path: Path, *, precision: str) -> Path:
    """pixels [B, 4, 4, 3] times a matrix, computed at a precision."""
    weights = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32)
    kind = ONNX_TYPES[precision]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["low"], to=kind),
        helper.make_node("Cast", ["weights"], ["low_weights"], to=kind),
        helper.make_node("MatMul", ["low", "low_weights"], ["product"], name="head"),
        helper.make_node("Cast", ["product"], ["answer"], to=TensorProto.FLOAT),
    ]
    return _write(path, nodes, {"shape": np.array([-1, 48]), "weights": weights})


def quantised(path: Path) -> Path:
    """The same with Q and DQ nodes before the product, as a quantiser leaves it."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("QuantizeLinear", ["float", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("Reshape", ["dq", "shape"], ["rows"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "zero"], ["weights_dq"]),
        helper.make_node("MatMul", ["rows", "weights_dq"], ["answer"], name="head"),
    ]
    weights = np.random.default_rng(0).integers(-127, 127, (48, 8)).astype(np.int8)
    scale = {"scale": np.float32(2), "zero": np.int8(0)}
    return _write(path, nodes, {"shape": np.array([-1, 48]), "weights": weights} | scale)


def _write(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_the_committed_network_builds_strongly_typed_in_fp32(tmp_path: Path) -> None:
    said: list[str] = []
    engine = build(WEIGHTS, tmp_path, log=said.append)
    assert engine.files == {"model.plan": tmp_path / "model.plan"}
    assert (tmp_path / "model.plan").stat().st_size > 20e6, "fp32 weights of 7.3 million parameters"
    assert {layer.precision for layer in engine.layers} == {"fp32"}
    assert {"convolution", "matrix_multiply"} <= {layer.kind for layer in engine.layers}
    assert engine.layers_from == "parsed network"
    assert engine.settings["profile"] == {"min": 1, "opt": 8, "max": 32}
    assert not engine.settings["tf32"], "an engine called fp32 multiplies in fp32"
    assert (engine.infer, engine.needs) == (None, "a GPU")
    assert any("Building engine" in line for line in said)


def test_an_engine_that_the_gpu_does_not_open_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = importlib.import_module("tensorrt_rtx")
    unable = SimpleNamespace(deserialize_cuda_engine=lambda plan: None)
    monkeypatch.setattr(trt, "Runtime", lambda logger: unable)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    engine = build(product(tmp_path / "x.onnx", precision="fp32"), tmp_path)
    assert (engine.infer, engine.needs) == (None, "a GPU that TensorRT-RTX knows")
    assert engine.layers_from == "parsed network"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_layer_multiplies_in_what_the_network_says(tmp_path: Path, precision: Precision) -> None:
    engine = build(product(tmp_path / "x.onnx", precision=precision), tmp_path, precision=precision)
    assert [(layer.name, layer.precision) for layer in engine.layers] == [("head", precision)]


@pytest.mark.usefixtures("no_gpu")
def test_what_comes_from_dq_nodes_is_multiplied_in_int8(tmp_path: Path) -> None:
    engine = build(quantised(tmp_path / "x.onnx"), tmp_path, precision="int8")
    assert [(layer.name, layer.precision) for layer in engine.layers] == [("head", "int8")]


def test_a_node_that_tensorrt_does_not_know_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Smile", ["pixels"], ["answer"], name="encoder/smile", domain="ours")
    path = _write(tmp_path / "x.onnx", [node], {})
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("ours", 1))
    onnx.save(model, path)
    said = r"does not take .*x\.onnx: the node encoder/smile \(Smile\)"
    with pytest.raises(BuildError, match=said) as told:
        build(path, tmp_path)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "model.plan").exists()


@pytest.mark.parametrize("content", [None, b"no network"])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BuildError, match=r"TensorRT-RTX does not take .*x\.onnx: "):
        build(path, tmp_path)


def test_a_profile_below_the_served_batch_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="--max-batch 32 or more"):
        build(tmp_path / "gone.onnx", tmp_path, max_batch=31)


@pytest.mark.usefixtures("no_gpu")
def test_ctrl_c_ends_a_build_and_leaves_no_plan(tmp_path: Path) -> None:
    def press(line: str) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    with pytest.raises(KeyboardInterrupt):
        build(WEIGHTS, tmp_path, log=press)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("no_gpu")
def test_tensorrt_without_a_gpu_is_refused_and_nothing_is_built_instead(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="tensorrt needs an NVIDIA GPU"):
        build(WEIGHTS, tmp_path, rtx=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rtx", [True, False])
def test_a_missing_tensorrt_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rtx: bool
) -> None:
    def gone(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    monkeypatch.setattr(tensorrt.importlib, "import_module", gone)
    what = "Python of .venv" if rtx else "pip install tensorrt.*inside the serving container"
    with pytest.raises(BuildError, match=f"nothing else was built: .*{what}"):
        build(WEIGHTS, tmp_path, rtx=rtx)


def test_a_tensorrt_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    old = SimpleNamespace(__version__="10.9.0.34")
    monkeypatch.setattr(tensorrt.importlib, "import_module", lambda name: old)
    with pytest.raises(BuildError, match=r"TensorRT 10\.9\.0\.34 is too old: install 10\.12 or newer"):
        build(WEIGHTS, tmp_path, rtx=False)


class Config:
    """A builder's configuration that knows caches of its own machine only: they begin with b"mine"."""

    def __init__(self) -> None:
        self.cache: bytes | None = None

    def create_timing_cache(self, data: bytes) -> bytes | None:
        return None if data == b"damaged" else data

    def set_timing_cache(self, cache: bytes, *, ignore_mismatch: bool) -> bool:
        if cache and not cache.startswith(b"mine") and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: b"mine and more")


@pytest.mark.parametrize(
    ("kept", "used"),
    [(b"mine", b"mine"), (b"another machine's", b""), (b"damaged", b""), (None, b"")],
)
def test_the_timing_cache_is_used_where_it_fits_and_written_anew(
    tmp_path: Path, kept: bytes | None, used: bytes
) -> None:
    path, config = tmp_path / "cache" / "timing.cache", Config()
    if kept is not None:
        path.parent.mkdir()
        path.write_bytes(kept)
    timings.use_timing_cache(config, path)
    assert config.cache == used
    timings.keep_timing_cache(config, path)
    assert path.read_bytes() == b"mine and more"
    assert list(path.parent.iterdir()) == [path]


def test_a_timing_cache_that_can_t_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    timings.keep_timing_cache(Config(), tmp_path / "file" / "timing.cache")


def layer(name: str, kind: str, datatype: str, **more: str) -> dict[str, Any]:
    tensor = {"Name": "x", "Dimensions": [1, 40, 256], "Format/Datatype": datatype}
    return {"Name": name, "LayerType": kind, "Inputs": [tensor], "Outputs": [tensor]} | more


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            layer("a_myl0_1", "gemm", "Half", Metadata="[ONNX Layer: /a/MatMul]\u001e[ONNX Layer: /a/Add]"),
            ("/a/MatMul, /a/Add", "fp16"),
        ),
        (layer("stem", "CaskConvolution", "Row major Int8 format"), ("stem", "int8")),
        (layer("stem", "CaskGemmConvolution", "Row major linear FP32"), ("stem", "fp32")),
        (layer("_gemm_mha_v2_myl0_3", "kgen", "BFloat16"), ("_gemm_mha_v2_myl0_3", "bf16")),
        (
            layer("f", "fusion", "FP8", TacticName="sm90_xmma_gemm_e4m3bf16_e4m3f32_f32"),
            ("f", "fp8"),
        ),
        (layer("__myl_AddCastMean_myl0_4", "kgen", "Half", TacticName="__myl_AddCastMean_0x1"), None),
        (layer("/conv1/Add", "kgen", "Half"), None),
        (layer("copy for /conv1/Conv", "Reformat", "Half"), None),
    ],
)
def test_the_inspector_s_layers_that_multiply_are_told_from_the_others(
    entry: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    found = inspected_layers(json.dumps({"Layers": [entry, "a name only"], "Bindings": []}))
    assert [(layer.name, layer.precision) for layer in found] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("fields", "precision"),
    [
        ({"Format/Datatype": "Half"}, "fp16"),
        ({"Format/Datatype": "FP16 NHWC8"}, "fp16"),
        ({"Format/Datatype": "Channel major FP16 format where channel % 4 == 0"}, "fp16"),
        ({"Format/Datatype": "Float16"}, "fp16"),
        ({"Format/Datatype": "BFloat16"}, "bf16"),
        ({"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}, "int8"),
        ({"Format/Datatype": "UINT8"}, "unknown"),
        ({"Format/Datatype": "Int64"}, "unknown"),
        ({"Format/Datatype": "N/A due to dynamic shapes"}, "unknown"),
        ({"DataType": "Float", "Format": "Row major linear FP32 format (kLINEAR)"}, "fp32"),
        ({"Datatype": "Half", "Format": "Row major linear"}, "fp16"),
        ({"DataType": "FP8", "Format": "Row major linear"}, "fp8"),
        ({"DataType": "Bool", "Format": "Row major linear FP32 format (kLINEAR)"}, "unknown"),
        ({"Format": "Row major linear BF16 format (kLINEAR)"}, "bf16"),
        ({}, "unknown"),
    ],
)
def test_a_type_is_read_as_a_whole_word_in_the_schema_of_either_version(
    fields: dict[str, str], precision: str
) -> None:
    entry = {"Name": "x", "LayerType": "gemm", "Inputs": [fields]}
    (found,) = inspected_layers(json.dumps({"Layers": [entry]}))
    assert found.precision == precision


@pytest.mark.parametrize(
    ("inputs", "more", "precision"),
    [
        (["Float", "Half", "Half"], {}, "fp16"),  # a sum in fp32 comes before the factors
        (["Half", "Int8", "Int8"], {}, "int8"),
        (["Int64", "UINT8", "Bool", "Half"], {}, "fp16"),
        (["UInt8"], {"Weights": {"Type": "Half", "Count": 432}}, "fp16"),
        (["Half"], {"Weights": {"Type": "Int8", "Count": 432}}, "fp16"),
        (["UInt8", "Int32"], {}, "unknown"),
        ([], {}, "unknown"),
    ],
)
def test_of_a_layer_s_inputs_only_the_factors_count(
    inputs: list[str], more: dict[str, Any], precision: str
) -> None:
    tensors = [{"DataType": datatype} for datatype in inputs]
    entry = {"Name": "x", "LayerType": "CaskConvolution", "Inputs": tensors} | more
    (found,) = inspected_layers(json.dumps({"Layers": [entry]}))
    assert found.precision == precision


def test_an_engine_whose_types_can_t_be_read_is_refused_with_its_counts() -> None:
    entries = [layer(f"layer {number}", "gemm", "Complicated") for number in range(3)]
    found = layer_shares(inspected_layers(json.dumps({"Layers": entries})), excluded=[])
    for precision in ("fp32", "fp16", "int8"):
        fault = layer_fault(found, precision=precision)
        assert fault is not None
        assert "3 in unknown" in fault


def test_the_inspector_is_asked_at_the_best_batch() -> None:
    """Where a batch is open it would tell no types."""
    asked: list[Any] = []
    context = SimpleNamespace(set_input_shape=lambda name, shape: asked.append((name, shape)))
    inspector = SimpleNamespace(
        execution_context=None,
        get_engine_information=lambda form: json.dumps(inspector.execution_context is context),
    )
    engine = SimpleNamespace(
        create_engine_inspector=lambda: inspector,
        create_execution_context=lambda: context,
        get_tensor_profile_shape=lambda name, profile: [(1, 4, 4, 3), (8, 4, 4, 3), (32, 4, 4, 3)],
    )
    trt = SimpleNamespace(LayerInformationFormat=SimpleNamespace(JSON="json"))
    assert inspect(trt, engine) == "true"
    assert asked == [("pixels", (8, 4, 4, 3))]


def gpus(*told: str) -> tuple[Gpu, ...]:
    """GPUs from "name capability"."""
    return tuple(Gpu(name=text.rpartition(" ")[0], compute_capability=text.split()[-1]) for text in told)


@pytest.mark.parametrize(
    ("here", "installed", "chosen", "sentence"),
    [
        ([], None, (), "model.plan was built by TensorRT 10.13.2 for NVIDIA L4, and this machine has no GPU"),
        (
            ["NVIDIA T4 7.5"],
            "10.13.2",
            (),
            r"\(compute capability 8.9\), and it would run on GPU 0, NVIDIA T4 \(7.5\): build [^,]+$",
        ),
        (["NVIDIA L4 8.9"], "11.0", (), "here is TensorRT 11.0: build it again"),
        (["NVIDIA L40 8.9"], "10.13.2", (), None),
        (["NVIDIA L4 8.9"], None, (), None),
        (
            ["NVIDIA L4 8.9", "NVIDIA T4 7.5", "NVIDIA L4 8.9"],
            None,
            (),
            r"it would run on GPU 1, NVIDIA T4 \(7.5\): build .*, or serve it with `--gpus 0,2`",
        ),
        (["NVIDIA L4 8.9", "NVIDIA T4 7.5"], None, (1,), r"run on GPU 1, NVIDIA T4 \(7.5\)"),
        (["NVIDIA T4 7.5", "NVIDIA L4 8.9"], None, (1,), None),
        (["NVIDIA L4 8.9"], None, (0, 1), r"there is no GPU 1 here: choose from GPU 0, NVIDIA L4 \(8.9\)"),
    ],
)
def test_a_plan_of_another_tensorrt_or_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    here: list[str],
    installed: str | None,
    chosen: tuple[int, ...],
    sentence: str | None,
) -> None:
    def module(name: str) -> Any:
        if installed is None:
            raise ImportError(name)
        return SimpleNamespace(__version__=installed)

    monkeypatch.setattr(plan_check, "visible_gpus", lambda: gpus(*here))
    monkeypatch.setattr(tensorrt.importlib, "import_module", module)
    if sentence is None:
        plan_check.check_plan(PLAN, BUILT, gpus=chosen)
        return
    with pytest.raises(BuildError, match=sentence):
        plan_check.check_plan(PLAN, BUILT, gpus=chosen)


@pytest.mark.parametrize(
    ("report", "missing"),
    [
        ({"versions": {"tensorrt": "10.13.2"}}, "gpu and compute_capability"),
        ({"versions": {"gpu": "NVIDIA L4", "compute_capability": "8.9"}}, "tensorrt"),
        ({}, "tensorrt and gpu and compute_capability"),
    ],
)
def test_a_plan_of_which_nobody_knows_where_it_was_built_is_refused(
    monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], missing: str
) -> None:
    monkeypatch.setattr(plan_check, "visible_gpus", lambda: gpus("NVIDIA L4 8.9"))
    with pytest.raises(
        BuildError, match=f"nothing says for which {missing} model.plan was built: build it again"
    ):
        plan_check.check_plan(PLAN, report)


def test_no_plan_is_built_that_nobody_could_check_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    monkeypatch.setattr(plan_backend, "gpu_versions", dict)
    present = SimpleNamespace(__version__="11.4.0")
    monkeypatch.setattr(tensorrt.importlib, "import_module", lambda name: present)
    with pytest.raises(
        BuildError, match=r"nobody could check later where the plan runs: .*CUDA_VISIBLE_DEVICES"
    ):
        build(WEIGHTS, tmp_path, rtx=False)
    assert list(tmp_path.iterdir()) == []


class Opened:
    """An engine of one input and output, and its execution context, on a GPU that fails as it is told."""

    num_io_tensors = 2

    def __init__(self, *, takes: bool = True, runs: bool = True, memory: bool = True) -> None:
        self.takes, self.runs, self.memory = takes, runs, memory

    def create_execution_context(self) -> Any:
        return self if self.memory else None

    def get_tensor_name(self, number: int) -> str:
        return ("pixels", "age")[number]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "pixels" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return "float"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (2, 1)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return self.takes

    def set_tensor_address(self, name: str, address: int) -> None:
        return

    def execute_async_v3(self, stream: int) -> bool:
        return self.runs


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """TensorRT's names, beside a PyTorch that has the processor's memory for a GPU's."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, device: empty(shape, dtype=dtype))
    return SimpleNamespace(
        TensorIOMode=SimpleNamespace(OUTPUT="out"), DataType=SimpleNamespace(FLOAT="float", UINT8="uint8")
    )


PICTURES = np.zeros((2, 4, 4, 3), np.uint8)


def test_an_opened_engine_answers_by_its_outputs_names(trt: Any) -> None:
    infer = runner(trt, Opened())
    assert infer is not None
    assert {name: values.shape for name, values in infer(PICTURES).items()} == {"age": (2, 1)}


@pytest.mark.parametrize(
    ("engine", "reason"),
    [(Opened(takes=False), "the batch is outside its profile"), (Opened(runs=False), "says no reason")],
)
def test_an_answer_that_fails_is_told_in_one_sentence(trt: Any, engine: Opened, reason: str) -> None:
    infer = runner(trt, engine)
    assert infer is not None
    with pytest.raises(BuildError, match=rf"did not answer a batch of 2 \(.*{reason}\)"):
        infer(PICTURES)


def test_what_pytorch_says_of_a_gpu_is_told_in_one_sentence(
    trt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensor: Any, device: str) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried a lot.\nCompile with more memory.")

    monkeypatch.setattr(torch.Tensor, "to", full)
    infer = runner(trt, Opened())
    assert infer is not None
    with pytest.raises(BuildError, match=r"\(CUDA out of memory\. Tried a lot\.\)") as told:
        infer(PICTURES)
    assert "\n" not in str(told.value)


def test_an_engine_without_memory_to_run_is_refused(trt: Any) -> None:
    with pytest.raises(BuildError, match="see with nvidia-smi that the GPU has free memory"):
        runner(trt, Opened(memory=False))


def test_the_served_network_of_every_kind_of_task_is_taken(tmp_path: Path) -> None:
    contract = standin.contract_of("expression", "action_units", "age", "head_pose", "landmarks", "parsing")
    engine = build(standin.write(tmp_path / "x.onnx", contract), tmp_path)
    assert engine.files["model.plan"].stat().st_size > 0
