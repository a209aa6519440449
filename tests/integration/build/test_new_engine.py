"""Adding an engine takes two modules: one that builds and checks it, one that serves it.

Both are written into a copy of the sources, and nothing else of it is changed. The engine here is ONNX's
own reference evaluator, which runs a network in numpy.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.networks import standin_network as standin
from tests.helpers.networks.exported_stage import write_exported
from tests.helpers.paths import ROOT

# runtime/engines/numpy_reference.py: what the served model loads.
SERVES = '''
"""ONNX's reference evaluator: every operator in numpy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

NAME = "numpy-reference"


def load(directory: Path, parameters: Mapping[str, str]) -> "ReferenceEngine":
    """The network in a version directory; see `runtime.engines.load_engine`."""
    return ReferenceEngine(directory / parameters["file"])


class ReferenceEngine:
    """An ONNX network with named inputs and outputs."""

    def __init__(self, path: Path) -> None:
        from onnx.reference import ReferenceEvaluator

        self._evaluator = ReferenceEvaluator(str(path))

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Runs the network once; returns the named outputs (all of them by default)."""
        names = list(outputs or self._evaluator.output_names)
        return dict(zip(names, self._evaluator.run(names, dict(inputs)), strict=True))
'''

# build/backends/numpy_reference.py: what `--target numpy-reference` builds.
BUILDS = '''
"""ONNX's reference evaluator, for comparison: it runs on any CPU, slowly."""

from pathlib import Path

import onnx

from build.backends.base import CpuBackend, Engine, Layer, LoweredNetwork, LoweringRequest
from build.onnx_interface import PIXELS
from build.precisions import Precision
from build.serving.engine_settings import NETWORK_FILE
from runtime.engines.numpy_reference import NAME, ReferenceEngine


class NumpyReference(CpuBackend):
    """ONNX's reference evaluator."""

    name = NAME
    title = "ONNX's reference evaluator"
    precisions = ("fp32",)
    default_precision = "fp32"
    runtime = NAME
    packages = ("onnx",)

    def lower(self, request: LoweringRequest) -> LoweredNetwork:
        """The network as it was exported."""
        return request.unchanged()

    def open_engine(self, network: Path, *, precision: Precision, threads: int) -> Engine:
        """The network, opened as the server will open it."""
        engine = ReferenceEngine(network)
        return Engine(
            files={NETWORK_FILE: network},
            layers=tuple(
                Layer(name=node.name, kind=node.op_type, precision="fp32")
                for node in onnx.load(network).graph.node
                if node.op_type in ("Conv", "MatMul", "Gemm")
            ),
            layers_from="parsed network",
            versions={"onnx": onnx.__version__},
            settings={},
            infer=lambda pixels: engine.infer({PIXELS: pixels}),
        )


BACKEND = NumpyReference()
'''

# What Triton's Python backend does with the served model's configuration.
SERVED = """
import json, sys, types
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
import numpy as np

sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
from runtime.serving.engine import FaceEngine

place = sys.argv[1]
with open(f"{place}/configs/cpu.pbtxt") as file:
    config = text_format.Parse(file.read(), model_config_pb2.ModelConfig())
model = FaceEngine()
model.initialize({
    "model_config": json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True)),
    "model_repository": place,
    "model_version": "1",
})
pixels = np.load(sys.argv[2])["pixels"]
np.savez(sys.argv[3], engine=type(model.engine).__name__, **model.engine.infer({"pixels": pixels}))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with the new engine's two modules."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("build", "runtime", "training", "model_repository"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "build" / "backends" / "numpy_reference.py").write_text(BUILDS)
    (source / "runtime" / "engines" / "numpy_reference.py").write_text(SERVES)
    return source


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the export left: a network that tells an age by the mean colour."""
    place = tmp_path_factory.mktemp("onnx")
    random = np.random.default_rng(0)
    weights = {
        "axes": np.array([1, 2]),
        "scale": np.array(1 / 255, np.float32),
        "weights": random.uniform(0, 20, (3, 1)).astype(np.float32),
    }
    size = standin.SIZE
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "scale"], ["colour"]),
            helper.make_node("MatMul", ["colour", "weights"], ["age"], name="answer"),
        ],
        "colour",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"contract": json.dumps(standin.contract_of("age"))})
    onnx.save(model, place / "model.onnx")
    return write_exported(place, parameters=3)


def run(source: Path, *arguments: str | Path) -> str:
    """What a command of these sources prints; the test fails where it does."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_engine_is_built_accepted_assembled_and_served(
    source: Path, exported: Path, tmp_path: Path
) -> None:
    lowered, engine, var = tmp_path / "precision", tmp_path / "engine", tmp_path / "var"
    target = ["--target", "numpy-reference", "--precision", "fp32"]
    run(source, "-m", "build.stages.precision", exported, *target, "--output", lowered)
    run(source, "-m", "build.stages.compile", lowered, "--output", engine)
    manifest = json.loads((engine / "manifest.json").read_text())
    assert (manifest["target"], manifest["layers"]["counts"]) == ("numpy-reference", {"fp32": 1})
    assert manifest["parity"]["of"] == "the engine"

    run(source, "-m", "build.stages.repository", "--engine", engine, "--output", var)
    repository = var / "repository"
    assert "numpy-reference engine in fp32" in run(source, "-m", "build.stages.verify", repository)

    model, answers = repository / "models" / "face_engine", tmp_path / "answers.npz"
    assert 'string_value: "numpy-reference"' in (model / "configs" / "cpu.pbtxt").read_text()
    run(repository / "lib", "-c", SERVED, model, exported / "reference.npz", answers)
    reference = np.load(exported / "reference.npz")
    with np.load(answers) as served:
        assert served["engine"] == "ReferenceEngine"
        expected = next(reference[name] for name in reference.files if name.endswith("age"))
        np.testing.assert_allclose(served["age"], expected, atol=1e-4)


def test_a_new_engine_is_offered_by_the_commands_that_build_and_serve(source: Path) -> None:
    for command in ("build", "build.stages.repository"):
        assert "numpy-reference" in run(source, "-m", command, "--help")
