"""Two tasks added to the catalogue, of kinds that it has: trained, exported, served and asked for.

What a kind knows of its one task so far (ages around 35 years, 68 points with eyes) would show here.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from build.onnx_export import export
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.operation.service import GatewayServer
from qface_client import Face, FaceClient
from runtime.image.align import align_face, invert, photo_to_crop, transform
from tests.helpers import requests as asking
from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.gateways import PATIENT
from tests.helpers.repositories import FEW_PROCESSES
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluate import TaskResult, evaluate, torch_predict
from training.evaluation.tables import format_metric
from training.models import CONFIGS, Checkpoint, ExportWrapper, QFaceConfig, load_checkpoint
from training.tasks import CATALOGUE, Task
from training.train.finetune import finetune
from training.train.loop.distributed import distributed
from training.train.run_config import Run, Source

SIZE = 64
PAIN = Task(
    name="pain",
    kind="value",
    labels=("percent",),
    unit="percent",
    queries=1,
    loss="smooth_l1",
    metric="mean_absolute_error",
    center=50.0,
    spread=25.0,
    limits=(0.0, 100.0),
)
CORNERS = Task(
    name="corners",
    kind="points",
    labels=("right_eye", "left_eye", "nose", "mouth_right", "mouth_left"),
    unit="pixels",
    queries=5,
    loss="wing",
    metric="normalized_mean_error",
    mirror=(("right_eye", "left_eye"), ("mouth_right", "mouth_left")),
)
NAMES = ("pain", "age", "corners")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A prepared set of both tasks and of ages, while the catalogue has the tasks."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        for task in (PAIN, CORNERS):
            patch.setitem(CATALOGUE, task.name, task)
        make_set(root / "made", count=12, test=6, tasks=NAMES)
        yield root


@pytest.fixture(scope="module")
def file(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The checkpoint of ten steps."""
    config = CONFIGS["qface_test"]
    assert isinstance(config, QFaceConfig)
    run = Run(
        name="added",
        model=dataclasses.replace(config, tasks=NAMES),
        sources=(Source(name="made", batch=4),),
        steps=10,
        learning_rate=1e-3,
        bf16=False,
        workers=0,
        trackers=(),
    )
    folder = tmp_path_factory.mktemp("run")
    with distributed("cpu") as where:
        assert finetune(run, data=data, folder=folder, where=where) is not None
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def checkpoint(file: pathlib.Path) -> Checkpoint:
    return load_checkpoint(file)


@pytest.fixture(scope="module")
def client(file: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceClient]:
    folder = tmp_path_factory.mktemp("served")
    export(file, output=folder / "added.onnx")
    assemble(ServingPlan(weights=folder / "added.onnx", host_settings=FEW_PROCESSES), output=folder / "var")
    with (
        GatewayServer(folder / "var" / "repository", arguments=PATIENT) as server,
        FaceClient(server.grpc_address) as connected,
    ):
        yield connected


def expected(checkpoint: Checkpoint, crop: np.ndarray) -> dict[str, np.ndarray]:
    """What torch answers about a crop, in the crop's pixels."""
    wrapper = ExportWrapper(checkpoint.model, checkpoint.contract)
    return {name: values[0] for name, values in torch_predict(wrapper)(crop[None]).items()}


def test_a_value_starts_in_the_middle_of_its_own_range(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    with torch.no_grad():
        for name in ("pain", "age"):
            rows = model.logit_rows(CATALOGUE[name])
            assert rows is not None
            weight, bias = rows.weight.clone(), rows.bias.clone()
            rows.weight.zero_()
            rows.bias.zero_()
            answer = expected(checkpoint, np.zeros((SIZE, SIZE, 3), np.uint8))[name]
            rows.weight.copy_(weight)
            rows.bias.copy_(bias)
            assert answer.tolist() == [{"pain": 50.0, "age": 35.0}[name]]


def test_a_checkpoint_keeps_what_its_numbers_stand_for(
    file: pathlib.Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that was changed in the catalogue later changes no network that learned it before."""
    crop = np.full((SIZE, SIZE, 3), 90, np.uint8)
    before = expected(checkpoint, crop)["pain"]
    monkeypatch.setitem(CATALOGUE, "pain", dataclasses.replace(PAIN, center=0.0, spread=1.0))
    assert (expected(load_checkpoint(file), crop)["pain"] == before).all()
    monkeypatch.setitem(CATALOGUE, "pain", dataclasses.replace(PAIN, queries=2))
    with pytest.raises(ValueError, match="learned task 'pain' as 1 queries of the kind value"):
        load_checkpoint(file)


def test_the_contract_has_the_tasks_and_nothing_of_training(client: FaceClient) -> None:
    entries = {task.name: task for task in client.contract().tasks}
    assert (entries["pain"].kind, entries["pain"].unit) == ("value", "percent")
    assert entries["corners"].labels == CORNERS.labels
    assert entries["age"].unit == "years"


def test_a_photo_is_answered_in_the_task_s_unit_and_in_the_photo_s_pixels(
    client: FaceClient, checkpoint: Checkpoint
) -> None:
    photo = asking.astronaut()
    place = {"box": asking.BOX, "landmarks": asking.LANDMARKS}
    crop = align_face(photo, size=SIZE, **place)[0]
    to_crop = photo_to_crop(width=photo.shape[1], height=photo.shape[0], size=SIZE, **place)
    answers = expected(checkpoint, crop)
    face: Face = client.analyze_face(asking.encode(photo), **place)
    assert face.pain.unit == "percent"
    assert face.pain.percent == pytest.approx(float(answers["pain"][0]), abs=0.05)
    assert 0 < face.pain.percent < 100
    in_photo = transform(answers["corners"], invert(to_crop))
    np.testing.assert_allclose(face.corners.xy, in_photo, atol=0.05)
    assert face.corners.labels == CORNERS.labels
    # The points of ten steps are those of the set's faces, near the upper edge of the crop.
    left, top, right, bottom = asking.BOX
    assert left < face.corners["nose"][0] < right
    assert top - (bottom - top) < face.corners["nose"][1] < bottom


def test_evaluation_gives_both_a_metric_in_their_unit(checkpoint: Checkpoint, data: pathlib.Path) -> None:
    wrapper = ExportWrapper(checkpoint.model, checkpoint.contract)
    results = evaluate(
        torch_predict(wrapper),
        wrapper.contract.tasks,
        [FaceSet(data / "made", split="test")],
        input_size=SIZE,
        bootstrap=20,
    )
    by_task: dict[str, TaskResult] = {result.task: result for result in results}
    pain = by_task["pain"].values["mean_absolute_error"].value
    assert 0 < pain < 100
    assert format_metric("pain", "mean_absolute_error", pain) == f"{pain:.2f} percent"
    corners = by_task["corners"]
    assert corners.metric == "normalized_mean_error"
    # Without a reference of its own, the error is over the box.
    assert corners.values[corners.metric].value > 0
    assert corners.values[corners.metric].value == corners.values["box_normalized_error"].value
