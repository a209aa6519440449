"""face_quality is measured, and the minimum is chosen so that hardly a true face is lost."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers.quality_sets import SIZE, colour_network, write_coloured_set, write_photos
from training.data.prepared.face_set import FaceSet
from training.data.quality_set.making import Options, make_quality_set
from training.evaluation.predictors import Predictions
from training.evaluation.quality.__main__ import main
from training.evaluation.quality.coverage import COVERAGES, measure_set
from training.evaluation.quality.faceless import PhotoQualities
from training.evaluation.quality.minimum import choose_minimum
from training.models import CONFIGS, Checkpoint, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.models.qface.extension import extended
from training.tasks import CATALOGUE, FACE_QUALITY
from training.train.random_initialisation import random_checkpoint


def _photos(*finds: list[float]) -> PhotoQualities:
    return PhotoQualities(names=tuple(map(str, range(len(finds)))), found=tuple(map(np.array, finds)))


def test_the_minimum_is_the_smallest_that_answers_hardly_a_photo_without_a_face() -> None:
    faces = np.linspace(0.6, 1, 1000)
    chosen = choose_minimum([faces], _photos([0.3, 0.42], [0.1], [], []))
    assert (chosen.value, chosen.lost, chosen.answered) == (0.43, 0, 0)


def test_where_that_loses_faces_the_minimum_is_the_largest_that_loses_hardly_one() -> None:
    easy, hard = np.full(200, 0.9), np.append(np.full(3, 0.2), np.full(97, 0.9))
    chosen = choose_minimum([easy, hard], _photos([0.5], [0.1]))  # each set counts the same: 1.5 % are below
    assert (chosen.value, chosen.lost, chosen.answered) == (0.2, 0, 0.5)


def test_no_set_loses_more_than_two_in_a_hundred_though_the_mean_would_allow_it() -> None:
    hard = np.append(np.full(3, 0.2), np.full(97, 0.9))
    chosen = choose_minimum([np.full(100, 0.9)] * 4 + [hard], _photos([0.5]))  # 0.6 % on the mean, 3 % of one
    assert (chosen.value, chosen.worst) == (0.2, 0)


def test_risk_falls_with_coverage_where_the_quality_knows(tmp_path: pathlib.Path) -> None:
    write_coloured_set(tmp_path / "coloured")
    network = colour_network()
    faces = FaceSet(tmp_path / "coloured", split="train")
    wrong = {bytes(faces.served_crops([i], size=SIZE)) for i in range(0, len(faces), 5)}
    entry = dataclasses.replace(network.tasks[0], name=FACE_QUALITY, kind="multilabel", labels=("usable",))

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        answers = network.predict(pixels)
        bad = np.array([bytes(one[None]) in wrong for one in pixels])
        gender = np.where(bad[:, None], answers["gender"][:, ::-1], answers["gender"])
        return {**answers, "gender": gender, FACE_QUALITY: np.where(bad, 0.1, 0.9)[:, None]}

    knowing = dataclasses.replace(network, predict=predict, tasks=(*network.tasks, entry))
    measured = measure_set(faces, knowing, quality=FACE_QUALITY, limit=None, curves=True)
    (curve,) = [curve for curve in measured.curves if curve.task == "gender"]
    assert curve.values[0] == pytest.approx(0.8)
    assert curve.values[COVERAGES.index(0.8)] == 1
    assert sorted(curve.values) == list(curve.values)
    assert (measured.qualities < 0.5).mean() == pytest.approx(0.2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Prepared sets, photos without faces, and a network that answers face_quality as it happens to."""
    folder = tmp_path_factory.mktemp("measured")
    write_coloured_set(folder / "data" / "coloured")
    write_photos(folder / "photos", count=12)
    make_quality_set(
        colour_network(),
        folder / "data" / FACE_QUALITY,
        data=folder / "data",
        names=["coloured"],
        held_out=0.2,
        backgrounds=folder / "photos",
        options=Options(count=60, background_share=0.4),
    )
    config = CONFIGS["qface_test"].with_tasks(["age", "gender"])
    old = random_checkpoint(config, seed=0)
    save_checkpoint(folder / "old.safetensors", dataclasses.replace(old, card={"aside": 0.2}))
    torch.manual_seed(0)
    network = extended(old.model, [FACE_QUALITY])
    round_to_half(network)
    new = Checkpoint(model=network, contract=network.contract(), card={"aside": 0.2})
    save_checkpoint(folder / "new.safetensors", new)
    return folder


def _words(root: pathlib.Path, checkpoint: str) -> list[str]:
    words = [str(root / checkpoint), "--data", str(root / "data"), "--nofaces", str(root / "photos")]
    return [*words, "--output", str(root / "written.safetensors"), "--json", str(root / "found.json")]


def test_the_command_writes_the_minimum_into_the_contract(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*_words(root, "new.safetensors"), "--photos", str(root / "photos")]) == 0
    found = json.loads((root / "found.json").read_text())
    written = load_checkpoint(root / "written.safetensors")
    quality = written.contract.quality
    assert quality is not None
    assert (quality.task, quality.label) == (FACE_QUALITY, CATALOGUE[FACE_QUALITY].labels[0])
    assert quality.minimum == found["minimum"]["value"] == written.card["quality"]["value"]
    assert found["tested"]["coloured"][1] == 12
    assert 0 < found["faceless_photos"] < 8  # a part of those that the set was not made of
    assert "| coloured, held out |" in capsys.readouterr().out


def test_a_network_without_it_is_refused_with_what_to_do(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_words(root, "old.safetensors")) == 2
    said = capsys.readouterr().err
    assert "does not answer face_quality: teach it with" in said
    assert said.count("\n") == 1
