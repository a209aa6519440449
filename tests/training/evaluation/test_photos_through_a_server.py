"""Predictions for a photo, moved into the crop, are those for the crop: through the real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.operation.service import GatewayServer
from runtime.pose import angles_from_rotation
from tests.helpers import requests as asking
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import painted_network as painted
from tests.helpers.paths import ROOT
from tests.helpers.repositories import FEW_PROCESSES
from training.data.prepare import Options, prepare_set
from training.data.prepared.face_set import FaceSet
from training.data.readers import reader_of
from training.evaluation.evaluate import main
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.evaluation.predictors import Predictions, Predictor, crop_source, server_predictor
from training.evaluation.served_photos import SetPhotos, photo_source


def portraits(folder: Path) -> Path:
    """UTKFace of six photos, three to test: a large face, turned, beside a small one that is not meant."""
    (folder / "UTKFace").mkdir(parents=True)
    portrait = asking.astronaut()
    small = cv2.resize(portrait[30:240, 120:330], (130, 130), interpolation=cv2.INTER_AREA)
    for number, degrees in enumerate((0, 24, -35, 0, 24, -35)):
        centre = tuple(asking.BOX.reshape(2, 2).mean(axis=0).tolist())
        turn = cv2.getRotationMatrix2D(centre, -degrees, 1.6)
        turn[:, 2] += [300 - centre[0], 230 - centre[1]]
        photo = cv2.warpAffine(portrait, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
        photo[345:475, 5:135] = small[:, ::-1]
        name = f"{30 + number}_1_0_2017011022054617{number}.png"
        assert cv2.imwrite(str(folder / "UTKFace" / name), photo[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def utkface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos`, and under `prepared` the set `utkface` made of them by what makes real ones."""
    root = tmp_path_factory.mktemp("utkface")
    prepare_set(
        reader_of("utkface"),
        source=portraits(root / "photos"),
        output=root / "prepared",
        options=Options(subset=True),
    )
    return root


def both_ways(address: str, root: Path, *tasks: str) -> tuple[Predictions, Predictions, Predictor]:
    """What a server says of the photos, in the crops' pixels, and of the crops."""
    predictor = server_predictor(f"grpc://{address}")
    assert predictor.analyze_photo is not None
    faces = FaceSet(root / "prepared" / "utkface", split="test")
    questions: list[EvaluatedTask] = []
    for entry in predictor.tasks:
        question = evaluated_task(entry, input_size=predictor.input_size)
        if entry.name in tasks:
            assert question is not None
            questions.append(question)
    everyone = np.arange(len(faces))
    by_photo = photo_source(SetPhotos(faces, root / "photos"), predictor.analyze_photo).predict(
        faces, everyone, questions
    )
    by_crop = crop_source(predictor.predict, size=predictor.input_size).predict(faces, everyone, questions)
    assert by_photo.found.tolist() == [True] * 3
    return by_photo.predictions, by_crop.predictions, predictor


def test_a_photo_s_head_pose_is_the_crop_s_and_the_table_stands_beside_torch_s(
    server: GatewayServer, utkface: Path, tmp_path: Path
) -> None:
    by_photo, by_crop, predictor = both_ways(server.grpc_address, utkface, "head_pose", "age")
    angles, expected = (angles_from_rotation(said["head_pose"]) for said in (by_photo, by_crop))
    assert np.abs(angles - expected).max() < 1.5
    assert np.abs(angles[1:, 2]).max() < 12  # upright in the crop, though the heads were turned by 24 and 35
    assert np.abs(by_photo["age"] - by_crop["age"]).max() < 2
    weights = ROOT / "weights" / "qface-tiny.safetensors"
    words = [predictor.name, "--data", str(utkface / "prepared"), "--photos", f"utkface={utkface / 'photos'}"]
    files = ["--json", str(tmp_path / "e.json"), "--markdown", str(tmp_path / "e.md")]
    assert main([*words, *files, "--beside", str(weights), "--groups", "gender", "--bootstrap", "10"]) == 0
    said = json.loads((tmp_path / "e.json").read_text())
    assert said["beside"]["network"] == str(weights)
    row = next(row for row in said["rows"] if row["task"] == "age")
    assert (row["faces"], row["not_found"], row["sent"]) == (3, 0, "photo")
    error = row["metric"]
    assert row["values"][error][0] == pytest.approx(row["beside"][error][0], abs=2)
    (group,) = row["groups"]
    assert (group["by"], group["label"], group["faces"]) == ("gender", "female", 3)
    assert "| photo, not found: 0 of 3 |" in (tmp_path / "e.md").read_text()


@pytest.fixture(scope="module")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """A server of points that are always at the same places of the crop, and of masks of its red."""
    folder = tmp_path_factory.mktemp("painting")
    weights = painted.write(folder / "painted.onnx", painted.contract())
    with GatewayServer(
        assemble(
            ServingPlan(weights=weights, tasks=painted.TASKS, host_settings=FEW_PROCESSES),
            output=folder / "var",
        ),
        arguments=PATIENT,
    ) as running:
        yield running


def test_a_photo_s_points_and_masks_lie_in_the_crop_where_the_crop_s_do(
    painting: GatewayServer, utkface: Path
) -> None:
    by_photo, by_crop, _ = both_ways(painting.grpc_address, utkface, "landmarks", "parsing_lapa")
    assert np.linalg.norm(by_photo["landmarks"] - by_crop["landmarks"], axis=2).max() < 1
    agree = [
        float((photo == crop).mean())
        for photo, crop in zip(by_photo["parsing_lapa"], by_crop["parsing_lapa"], strict=True)
    ]
    # Red is stored as JPEG in between, and classes are 20 of it wide.
    assert min(agree) > 0.8, agree
    shifted = np.roll(by_photo["parsing_lapa"], 3, axis=2)
    assert (shifted == by_crop["parsing_lapa"]).mean() < min(agree) - 0.05
