"""Adding a kind of answer takes two modules and its class in the client; a task of it is one entry.

They are written into a copy of the sources, and nothing else of it is changed. The kind here is one of K
ordered levels; the task, how sharp a picture is.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deploy.gateway.operation.service import GatewayServer
from tests.helpers.gateways import PATIENT
from tests.helpers.paths import ROOT
from tests.helpers.repositories import FEW_PROCESSES

# runtime/kinds/ordinal.py: from the engine's output to the served answer.
SERVES = '''
"""One of K ordered levels. Head: the probability of each level but the lowest, or more: FP32 [B, K - 1].

Answer of a task T: T_at_least FP32 [B, K - 1], the head, and T_level INT32 [B, 1], the median level.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry


class Ordinal(Kind):
    name = "ordinal"
    low_precision_tolerance = 0.02  # of a probability

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(count - 1,))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (
            AnswerTensor(name=f"{entry.name}_at_least", datatype="FP32", dims=(len(entry.labels) - 1,)),
            AnswerTensor(name=f"{entry.name}_level", datatype="INT32", dims=(1,)),
        )

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        level = (head >= 0.5).sum(axis=1, keepdims=True, dtype=np.int32)
        return {f"{entry.name}_at_least": head, f"{entry.name}_level": level}


KIND = Ordinal()
'''

# training/kinds/ordinal.py: from a label to the loss, to the exported graph and to the metric.
TRAINS = '''
"""One of K ordered levels.

Written "soft". Column and target: the level's index [1]. Raw answer: logits [B, K - 1] of each level but
the lowest, or more.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.scores import mean
from training.kinds.base import Kind, known_only, whole_labels
from training.kinds.forms import Loss, Metric, PerFace, Rows
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask


def _cross_entropy(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    import torch
    from torch.nn import functional

    at_least = (target > torch.arange(raw.shape[1], device=raw.device)).float()
    losses = functional.binary_cross_entropy_with_logits(raw, at_least, reduction="none")
    return known_only(whole_labels(target), losses.sum(dim=1))


class Ordinal(Kind):
    """See the module."""

    name = "ordinal"
    losses = {"cumulative_cross_entropy": Loss(count=whole_labels, sum=_cross_entropy)}
    metrics = (Metric(name="mean_level_error", unit="levels", is_error=True),)

    def column_shape(self, task: Task) -> tuple[int, ...]:
        return (1,)

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        if not isinstance(value, str):
            raise TypeError
        if value not in task.labels:
            raise ValueError(f"{task.name} is {value!r}, which the catalogue does not have")
        return value

    def numbers(self, task: Task, label: Any) -> Rows:
        return np.array([task.labels.index(label)], np.float32)

    def written(self, task: Task, row: Rows) -> Any:
        return None if np.isnan(row).any() else task.labels[int(row[0])]

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """Probabilities [B, K - 1]."""
        return raw.sigmoid()

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """How often each level, or more, occurs."""
        return [(labels > np.arange(len(evaluated.labels) - 1)).mean(axis=0)]

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        return {"error": np.abs(answers.sum(axis=1, dtype=np.float64) - labels[:, 0])}

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        return {"mean_level_error": mean(weights, faces["error"])}

    def in_order(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> NDArray[Any]:
        return labels

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (len(evaluated.labels) - 1,)

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.array([answer.at_least[label] for label in labels[1:]], np.float32)


KIND = Ordinal()
'''

# client/qface_client/kinds/ordinal.py: from the served tensors to the typed answer.
READS = '''
"""ordinal: one of several levels, from the lowest to the highest."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .base import Answer, Kind, Row, Tensors, plain, rounded, tensor

if TYPE_CHECKING:
    from ..contract import TaskSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Level(Answer):
    """One level, and how probable each level but the lowest, or more, is."""

    label: str
    at_least: Mapping[str, float]

    @property
    def expected(self) -> float:
        """The expected level; the lowest is 0."""
        return sum(self.at_least.values())

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "at_least": rounded(self.at_least, digits=4)}

    def caption(self, name: str) -> list[Row]:
        return [Row(name=plain(name), text=plain(self.label))]


class Ordinal(Kind):
    """`T_at_least` FP32 [N, K - 1] and `T_level` INT32 [N, 1]."""

    name = "ordinal"
    tensors = ("at_least", "level")

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Level]:
        higher = task.labels[1:]
        at_least = tensor(tensors, f"{task.name}_at_least", shape=(count, len(higher)))
        levels = tensor(tensors, f"{task.name}_level", shape=(count, 1))[:, 0]
        return [
            Level(label=task.labels[level], at_least=dict(zip(higher, row, strict=True)))
            for level, row in zip(levels.tolist(), at_least.tolist(), strict=True)
        ]


KIND = Ordinal()
'''

# training/tasks.py: the catalogue's entry.
SHARPNESS = """
CATALOGUE["sharpness"] = Task(
    name="sharpness",
    kind="ordinal",
    labels=("blurred", "soft", "sharp"),
    unit="level",
    queries=2,
    loss="cumulative_cross_entropy",
    metric="mean_level_error",
)
"""

LEARNS = ROOT / "tests" / "helpers" / "networks" / "learned_sharpness.py"
ASKS = ROOT / "tests" / "helpers" / "networks" / "served_sharpness.py"


def run(program: Path, *arguments: str | Path, source: Path) -> Any:
    """What a program that imports these sources prints as JSON; the test fails where it does."""
    done = subprocess.run(
        [sys.executable, "-P", program, *arguments],  # -P: what lies beside the program is no source
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (source, source / "client")))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with the kind's modules, and a task of it in the catalogue."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("build", "runtime", "training", "model_repository", "client"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "runtime" / "kinds" / "ordinal.py").write_text(SERVES)
    (source / "training" / "kinds" / "ordinal.py").write_text(TRAINS)
    (source / "client" / "qface_client" / "kinds" / "ordinal.py").write_text(READS)
    with (source / "training" / "tasks.py").open("a") as catalogue:
        catalogue.write(SHARPNESS)
    return source


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def learned(source: Path, place: Path) -> Mapping[str, Any]:
    """What training and evaluation print, once for all tests."""
    return run(LEARNS, place, FEW_PROCESSES, source=source)


@pytest.fixture(scope="module")
def answered(source: Path, place: Path, learned: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the copy's client gets of the real server over the assembled repository."""
    assert learned
    with GatewayServer(place / "var" / "repository", arguments=PATIENT) as server:
        return run(ASKS, server.grpc_address, place / "crop.npy", source=source)


def test_a_task_of_the_new_kind_is_trained_and_evaluated(learned: Mapping[str, Any]) -> None:
    metric, value, constant = learned["metric"]
    assert metric == "mean_level_error"
    assert 0 < value < 2
    # All three levels are as frequent, so that the middle is the best answer to give without looking.
    assert constant == pytest.approx(2 / 3)


def test_its_tensors_are_configured_as_its_module_defines(place: Path, learned: Mapping[str, Any]) -> None:
    assert learned
    text = (place / "var" / "repository" / "models" / "sharpness" / "config.pbtxt").read_text()
    served = text_format.Parse(text, model_config_pb2.ModelConfig())
    outputs = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in served.output}
    assert outputs["sharpness_at_least"] == (model_config_pb2.TYPE_FP32, [2])
    assert outputs["sharpness_level"] == (model_config_pb2.TYPE_INT32, [1])


def test_the_client_gets_it_as_a_typed_answer(
    learned: Mapping[str, Any], answered: Mapping[str, Any]
) -> None:
    (expected,) = learned["torch"]
    assert answered["answer"] == {
        "label": ("blurred", "soft", "sharp")[sum(number >= 0.5 for number in expected)],
        "at_least": {
            "soft": pytest.approx(expected[0], abs=1e-3),
            "sharp": pytest.approx(expected[1], abs=1e-3),
        },
    }
    assert answered["expected"] == pytest.approx(sum(expected), abs=1e-3)


def test_a_photo_without_a_face_has_no_answer_of_it(answered: Mapping[str, Any]) -> None:
    assert answered["faces_in_a_black_photo"] == 0
